"""Our server and the reference relay under the same load, in turns.

So what disturbs one disturbs both. Both run all the time on the same core; whoever is not
measured has nothing to do.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from benchmarks import load, targets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peer import Address


@dataclass(frozen=True)
class Shape:
    """A throughput workload: so many pairs, each with so many messages outstanding."""

    key: str
    pairs: int
    window: int

    @property
    def prefix(self) -> str:
        """Of the names of its pairs, which nobody else may own."""
        return f"w{self.window}x{self.pairs}"


WINDOW_64: Final = Shape("window 64", 50, 64)
WINDOW_1: Final = Shape("window 1", 50, 1)
"""The method of docs/performance.md."""


@dataclass(frozen=True)
class Pace:
    """How long and how often: seconds of warm-up and of measuring, rounds."""

    warm_s: float
    measure_s: float
    rounds: int


@dataclass(frozen=True)
class Both:
    """Where the two listen."""

    jim: Address
    relay: Address


@dataclass
class Rates:
    """Messages a second of each round, and how the generator fared.

    Attributes:
        load_share: of its core that the generator used.
        errors: refusals and lost connections.
    """

    jim: list[float] = field(default_factory=list)
    relay: list[float] = field(default_factory=list)
    load_share: float = 0.0
    errors: int = 0


@contextmanager
def running(directory: Path | None = None) -> Iterator[Both]:
    """Run both; the server's store lies below `directory`."""
    with targets.our_server(directory) as (jim, _), targets.reference_relay() as (relay, _):
        yield Both(jim, relay)


async def rates(both: Both, shape: Shape, pace: Pace) -> Rates:
    """Measure a workload, round after round on the same connections."""
    opened = (
        await load.open_pairs(both.jim, shape.pairs, shape.prefix, plain_relay=False),
        await load.open_pairs(both.relay, shape.pairs, shape.prefix, plain_relay=True),
    )
    found = Rates()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(pace.rounds):
        for pairs, measured in zip(opened, (found.jim, found.relay), strict=True):
            rate = await load.throughput(pairs, shape.window, pace.warm_s, pace.measure_s)
            measured.append(rate)
    found.load_share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    for pairs in opened:
        found.errors += pairs.errors
        await pairs.aclose()
    return found
