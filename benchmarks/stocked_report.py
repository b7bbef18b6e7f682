"""Writes the figures of `benchmarks.stocked` as a table: a column a store, ratios to the first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.report import NOTHING, short, spread_percent, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AWAY: Final = "away"
"""The key of the workload of messages to people who are away."""

RATES: Final = {
    "w64": "50 pairs, window 64, messages/s",
    "w1": "50 pairs, window 1, messages/s",
    AWAY: "50 senders, window 64, to people who are away, messages/s",
}
POINTS: Final = {"p50_ms": "p50", "p99_ms": "p99", "p999_ms": "p99.9"}

NOTE: Final = (
    "Median of the rounds, farthest round, ratio to the first store. Of the messages nine in ten "
    "wait for people whom nobody writes to, the others for the 50 who are away. Filling includes "
    "registering everybody; a start ends when the port listens; memory is read then."
)


def text_of(figures: Mapping[str, Any]) -> str:
    """Give everything for people."""
    stores = figures["stores"]
    rows = [_row(stores, title, "rate", key) for key, title in RATES.items()]
    rows += [
        _row(stores, f"2,000/s, {title}, ms", point, "latency") for point, title in POINTS.items()
    ]
    rows += [
        ["start, s", *(_spread(store["start_s"], "{:.2f}".format) for store in stores)],
        ["memory after it, MiB", *(f"{store['rss_mib']:.0f}" for store in stores)],
        ["on disk, MiB", *(f"{store['disk_mib']:,.0f}" for store in stores)],
        ["filling, s", *(f"{store['fill_s']:.1f}" for store in stores)],
    ]
    head = ["messages waiting", *(f"{store['messages']:,}" for store in stores)]
    return "\n\n".join([table(head, rows), NOTE, *complaints(figures)])


def complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say which workloads failed, or lost or misplaced messages, at which store."""
    found = []
    for store in figures["stores"]:
        name = f"{store['messages']:,} messages"
        for key, workload in store["workloads"].items():
            if workload["lost"] or workload["wrong"]:
                counts = f"{workload['lost']} lost, {workload['wrong']} refused or out of order"
                found.append(f"{name}, {key}: {counts}")
        found += [f"{name}, {key}: {text}" for key, text in store["failures"].items()]
    return found


def _row(stores: Sequence[Mapping[str, Any]], title: str, figure: str, key: str) -> list[str]:
    values = [store["workloads"].get(key, {}).get(figure) for store in stores]
    form = short if figure == "rate" else "{:.2f}".format
    return [title, *(_cell(value, values[0], form) for value in values)]


def _cell(
    value: Mapping[str, float] | None,
    first: Mapping[str, float] | None,
    form: Callable[[float], str],
) -> str:
    """Give a cell with its ratio to the first store; the first has none."""
    if value is None:
        return NOTHING
    ratio = f" (×{value['median'] / first['median']:.2f})" if first and value is not first else ""
    return _spread(value, form) + ratio


def _spread(value: Mapping[str, float], form: Callable[[float], str]) -> str:
    spread = f" ±{spread_percent(value):.0f} %" if value["low"] < value["high"] else ""
    return form(value["median"]) + spread
