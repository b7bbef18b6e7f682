"""What is measured, the same for every system, and how a round of it becomes figures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks.accounts import PAIRS, names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.peers.base import System

BODY_BYTES: Final = 100
"""A line of chat."""

LONG_BODY_BYTES: Final = 16_000
"""What the issue calls 16 kB, in decimal like the other sizes; below our limit of a text."""

THROUGHPUT, LATENCY, LOGINS, IDLE = "throughput", "latency", "logins", "idle"
OFFLINE, DAY = "offline", "day"

POINTS: Final = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
"""What a round of latency gives, in ms."""

MEASURED: Final = (
    "rate",
    "offered",
    *POINTS,
    "sent_p99_ms",
    "kib_per_connection",
    "server_share",
    "waiting",
    "store_rate",
    "store_s",
    "fetch_s",
    "login_p50_ms",
    "login_p99_ms",
)
"""What has a median and a range, where every round has it."""

FAULTS: Final = {
    "lost": "lost",
    "stranded": "only at another login",
    "doubled": "doubled",
    "disordered": "out of order",
    "wrong": "damaged or misdirected",
}
"""What may happen to messages, counted: all must be 0."""


@dataclass(frozen=True)
class Workload:
    """One column of the table, or one table.

    Attributes:
        mode: of the generator.
        values: further options of the generator.
        once: measured in the first round only, because it says little more the next time.
        stretch: how many times longer than the others it is measured.
        half_of: the workload whose measured rate, halved, is this one's rate.
        fresh: measured at a server of its own, because of what it leaves behind or finds.
        with_tls: measured only with TLS at a system that has it, because it takes long.
    """

    key: str
    title: str
    mode: str
    values: Mapping[str, object] = field(default_factory=dict)
    once: bool = False
    stretch: float = 1.0
    half_of: str = ""
    fresh: bool = False
    with_tls: bool = False

    @property
    def body_bytes(self) -> int:
        """How long each message is."""
        body = self.values.get("body", BODY_BYTES)
        assert isinstance(body, int)
        return body

    def fits(self, system: System, *, tls: bool) -> bool:
        """Tell whether it is measured: the protocol carries such messages and has what it needs."""
        if self.body_bytes > system.most_body_bytes:
            return False
        if self.with_tls and not tls and True in system.tls:
            return False
        return {OFFLINE: system.keeps, DAY: system.people}.get(self.mode, True)


WORKLOADS: Final = (
    Workload("w64", "50 pairs, window 64", THROUGHPUT, {"pairs": 50, "window": 64}),
    Workload("w1", "50 pairs, window 1", THROUGHPUT, {"pairs": 50, "window": 1}),
    Workload("crowd", "1,000 pairs, window 4", THROUGHPUT, {"pairs": PAIRS, "window": 4}),
    Workload("1kB", "1 kB, window 64", THROUGHPUT, {"pairs": 50, "window": 64, "body": 1000}),
    Workload(
        "16kB", "16 kB, window 16", THROUGHPUT, {"pairs": 50, "window": 16, "body": LONG_BODY_BYTES}
    ),
    Workload("latency", "2,000/s over 50 pairs", LATENCY, {"pairs": 50, "rate": 2000}, stretch=2),
    Workload("half", "half of its maximum", LATENCY, {"pairs": 50}, stretch=2, half_of="w64"),
    Workload(
        "day",
        "a mixed day",
        DAY,
        {"pairs": PAIRS, "rate": 2000, "comings": 20},
        stretch=5,
        fresh=True,
        with_tls=True,
    ),
    Workload(
        "offline",
        "messages that wait",
        OFFLINE,
        {"pairs": PAIRS, "senders": 50, "window": 64},
        once=True,
        fresh=True,
        with_tls=True,
    ),
    Workload("logins", "logins", LOGINS, once=True),
    Workload(
        "idle",
        "idle connections",
        IDLE,
        {"idle": f"1500,{len(names())}"},
        once=True,
        fresh=True,
    ),
)
"""The method of docs/performance.md. Bodies of 16 kB have a quarter of the window: 50 windows of 64
would be 51 MB under way, which measures buffers. Of the idle connections the first 1,500 are not
counted: what a server has freed while it started is enough for many of ours; and there are no more
than accounts, for a device that is connected twice is connected once. Latency is measured
longer: its p99.9 lives on a thousandth of the messages. What one workload needs of another is
measured before it."""


def chosen(only: str | None) -> tuple[Workload, ...]:
    """Give the workloads named in `only`, with commas, and those that they need; None gives all.

    Raises:
        SystemExit: there is no such workload.
    """
    if only is None:
        return WORKLOADS
    wanted = set(only.split(","))
    unknown = wanted - {workload.key for workload in WORKLOADS}
    if unknown:
        known = ", ".join(workload.key for workload in WORKLOADS)
        raise SystemExit(f"there is no workload {', '.join(sorted(unknown))}; there are {known}")
    wanted |= {workload.half_of for workload in WORKLOADS if workload.key in wanted}
    return tuple(workload for workload in WORKLOADS if workload.key in wanted)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Give median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summed_up(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the figures of a workload's rounds: each measured name with median and range.

    `share` is the largest share of its core that the generator used; faults add up.
    """
    figures: dict[str, Any] = {
        name: summary([found[name] for found in rounds])
        for name in MEASURED
        if all(name in found for found in rounds)
    }
    shares = [found[name] for found in rounds for name in ("share", "store_share") if name in found]
    if shares:
        figures["share"] = max(shares)
    for name in FAULTS:
        figures[name] = sum(found.get(name, 0) for found in rounds)
    return figures | {"rounds": list(rounds)}
