"""What is measured, the same for every system, and how a round of it becomes figures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.peers.base import System

BODY_BYTES: Final = 100
"""A line of chat."""

LONG_BODY_BYTES: Final = 16_000
"""What the issue calls 16 kB, in decimal like the other sizes; below our limit of a text."""

THROUGHPUT, LATENCY, LOGINS, IDLE = "throughput", "latency", "logins", "idle"

POINTS: Final = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
"""What a round of latency gives, in ms."""


@dataclass(frozen=True)
class Workload:
    """One column of the table.

    Attributes:
        mode: of the generator.
        values: further options of the generator.
        once: measured in the first round only, because it says little more the next time.
        stretch: how many times longer than the others it is measured.
    """

    key: str
    title: str
    mode: str
    values: Mapping[str, object] = field(default_factory=dict)
    once: bool = False
    stretch: float = 1.0

    @property
    def body_bytes(self) -> int:
        """How long each message is."""
        body = self.values.get("body", BODY_BYTES)
        assert isinstance(body, int)
        return body

    def fits(self, system: System) -> bool:
        """Tell whether the system's protocol carries such messages."""
        return self.body_bytes <= system.most_body_bytes


WORKLOADS: Final = (
    Workload("w64", "50 pairs, window 64", THROUGHPUT, {"pairs": 50, "window": 64}),
    Workload("w1", "50 pairs, window 1", THROUGHPUT, {"pairs": 50, "window": 1}),
    Workload("crowd", "1,000 pairs, window 4", THROUGHPUT, {"pairs": 1000, "window": 4}),
    Workload("1kB", "1 kB, window 64", THROUGHPUT, {"pairs": 50, "window": 64, "body": 1000}),
    Workload(
        "16kB", "16 kB, window 16", THROUGHPUT, {"pairs": 50, "window": 16, "body": LONG_BODY_BYTES}
    ),
    Workload("latency", "2,000/s over 50 pairs", LATENCY, {"pairs": 50, "rate": 2000}, stretch=2),
    Workload("logins", "logins", LOGINS, once=True),
    Workload("idle", "idle connections", IDLE, {"idle": "200,1000"}, once=True),
)
"""The method of docs/performance.md. Bodies of 16 kB have a quarter of the window: 50 windows of 64
would be 51 MB under way, which measures buffers. Of the idle connections the first 200 are not
counted: they pay for what a server allocates once. Latency is measured twice as long: its p99.9
lives on a thousandth of the messages."""


def summary(values: Sequence[float]) -> dict[str, float]:
    """Give median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def summed_up(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give the figures of a workload's rounds: each measured name with median and range.

    `share` is the largest share of its core that the generator used; `lost` and `wrong` add up.
    """
    measured = ("rate", *POINTS, "kib_per_connection")
    figures: dict[str, Any] = {
        name: summary([found[name] for found in rounds])
        for name in measured
        if all(name in found for found in rounds)
    }
    shares = [found["share"] for found in rounds if "share" in found]
    if shares:
        figures["share"] = max(shares)
    for name in ("lost", "wrong"):
        figures[name] = sum(found.get(name, 0) for found in rounds)
    return figures | {"rounds": list(rounds)}
