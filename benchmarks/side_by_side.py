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
    from benchmarks.rounds import Pace


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
class Both:
    """Where the two listen."""

    jim: Address
    relay: Address
    jim_pid: int


@dataclass
class Rates:
    """Messages a second of each round, and how the generator fared.

    Attributes:
        cpu_us: processor time of our server a message, in each round, its warm-up included.
        load_share: of its core that the generator used.
        errors: refusals and lost connections.
    """

    jim: list[float] = field(default_factory=list)
    relay: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    load_share: float = 0.0
    errors: int = 0


@contextmanager
def running(directory: Path | None = None) -> Iterator[Both]:
    """Run both; the server's store lies below `directory`."""
    with targets.our_server(directory) as (jim, pid), targets.reference_relay() as (relay, _):
        yield Both(jim, relay, pid)


async def rates(both: Both, shape: Shape, pace: Pace) -> Rates:
    """Measure a workload, round after round on the same connections."""
    ours = await load.open_pairs(both.jim, shape.pairs, shape.prefix, plain_relay=False)
    relays = await load.open_pairs(both.relay, shape.pairs, shape.prefix, plain_relay=True)
    found = Rates()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(pace.rounds):
        before, stored = targets.cpu_s(both.jim_pid), ours.stored
        found.jim.append(await load.throughput(ours, shape.window, pace.warm_s, pace.measure_s))
        used_s = targets.cpu_s(both.jim_pid) - before
        found.cpu_us.append(1e6 * used_s / (ours.stored - stored))
        found.relay.append(await load.throughput(relays, shape.window, pace.warm_s, pace.measure_s))
    found.load_share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    for pairs in (ours, relays):
        found.errors += pairs.errors
        await pairs.aclose()
    return found
