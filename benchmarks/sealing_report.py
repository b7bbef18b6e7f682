"""Writes the figures of `benchmarks.sealing` as tables: a row for each number of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import table

if TYPE_CHECKING:
    from collections.abc import Mapping

SAME_WORK_BYTES: Final = 16
"""What the library alone has sealed may be shorter or longer by this much: numbers of messages grow
by a byte now and then. More would be another step of the padding, so other work."""

COST_HEAD: Final = (
    "devices",
    "send",
    "plain",
    "×",
    "vodozemac",
    "×",
    "receive",
    "plain",
    "×",
    "vodozemac",
    "×",
    "in pages of 64",
    "plain",
    "×",
)
BYTES_HEAD: Final = ("devices", "`msg`", "plain", "first", "delivered", "plain", "first")
FIRST_HEAD: Final = ("devices", "first message, ms", "received, ms")

NOTE: Final = (
    "µs of the thread's processor time, lowest tenth (median). A send is one transaction (queued, "
    "sealed, kept), a receive too (opened, kept); ×: median of the messages' ratios to the plain "
    "text, and to vodozemac's bare encrypt or decrypt of the same bytes, done beside it."
)


def text_of(figures: Mapping[str, Any]) -> str:
    """Give everything for people."""
    memory, disk = figures["memory"], figures["disk"]
    parts = [table(COST_HEAD, [_cost(row) for row in memory]), NOTE]
    parts += [table(BYTES_HEAD, [_bytes(row) for row in memory])]
    parts += [table(FIRST_HEAD, [_first(row) for row in memory])]
    parts += [_turns(row["turns"]) for row in memory if "turns" in row]
    parts += ["The same on a disk, flushed with every message:"]
    parts += [table(COST_HEAD, [_cost(row) for row in disk])]
    parts += [_walls(row) for row in disk]
    return "\n\n".join([*parts, *complaints(figures)])


def complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say where the library alone did other work than the client, so that ratios mean nothing."""
    return [
        f"{row['devices']} devices: sealed {row['wire']['ciphertext']} bytes, "
        f"vodozemac alone {row['wire']['bare']}"
        for row in (*figures["memory"], *figures["disk"])
        if abs(row["wire"]["ciphertext"] - row["wire"]["bare"]) > SAME_WORK_BYTES
    ]


def _cost(row: Mapping[str, Any]) -> list[str]:
    cells = [str(row["devices"])]
    for part in ("send", "receive"):
        found = row[part]
        cells += [_us(found["sealed"]), _us(found["plain"]), f"{found['to_plain']:.1f}"]
        cells += [_us(found["bare"]), f"{found['to_bare']:.1f}"]
    page = row["page"]
    return [*cells, _us(page["sealed"]), _us(page["plain"]), f"{page['to_plain']:.1f}"]


def _us(found: Mapping[str, float]) -> str:
    return f"{found['low']:,.0f} ({found['median']:,.0f})"


def _bytes(row: Mapping[str, Any]) -> list[str]:
    wire, first = row["wire"], row["first"]
    sizes = [wire["sealed"], wire["plain"], first["wire"]]
    sizes += [wire["delivered"], wire["delivered_plain"], first["delivered"]]
    return [str(row["devices"]), *(f"{size:,.0f}" for size in sizes)]


def _first(row: Mapping[str, Any]) -> list[str]:
    both = (row["first"]["send"], row["first"]["receive"])
    return [str(row["devices"]), *(f"{each['cpu'] / 1000:,.1f}" for each in both)]


def _turns(found: Mapping[str, Any]) -> str:
    return (
        f"One device, every message answered: send {_us(found['send'])}, "
        f"receive {_us(found['receive'])} µs."
    )


def _walls(row: Mapping[str, Any]) -> str:
    send, receive = row["send"], row["receive"]
    times = [send["sealed"], send["plain"], receive["sealed"], receive["plain"]]
    sealed, plain, opened, kept = (f"{each['wall'] / 1000:.2f}" for each in times)
    return (
        f"{row['devices']} devices, median of the wall's ms: send {sealed} (plain {plain}), "
        f"receive {opened} (plain {kept})."
    )
