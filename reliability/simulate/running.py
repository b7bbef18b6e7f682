"""Run many schedules, on as many cores as wanted; find, shrink and word what fails."""

from __future__ import annotations

import gc
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from jim.client.events import BEHIND, CANCELLED, UNKNOWN_OUTCOME
from jim.errors import MailboxFull, RecipientUnknown, TextTooLong
from reliability.seeded import Failure, in_chunks, shrink
from reliability.simulate.schedule import SCRIPT, make
from reliability.simulate.wire import Overrun, Unforeseen
from reliability.simulate.world import FAULTS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliability.plants import Plant
    from reliability.simulate.schedule import Schedule

CHUNK: Final = 1_000
"""Schedules handed to a process at once: about half a second of work."""

COLLECT_EVERY: Final = 20
"""Schedules between two collections of garbage. Worlds are rings of references, about 100 kB each:
20 still fit a processor's cache. Left to itself, the collector takes a fifth of the run."""

FAULTS_FROM_RUNS: Final = 1_000
"""From so many runs on every kind of fault must have taken effect; the rarest, a server restored,
does in 24 of 1,000."""

NEWS_FROM_RUNS: Final = 10_000
"""The same for what users are told; the rarest, that a device lacks messages, is told in 18 of
20,000."""

NEWS: Final = (
    *(RecipientUnknown.code, TextTooLong.code, MailboxFull.code),
    *(CANCELLED, UNKNOWN_OUTCOME, BEHIND),
)
"""What users are told of: refusals, a full mailbox, and what a restore leaves behind."""

EXCEPTION: Final = "unhandled"
"""The rule of a run in which the code under test raised what it must not."""


class Tally(Struct):
    """What a number of schedules came to."""

    runs: int = 0
    steps: int = 0
    written: int = 0
    acked: int = 0
    refused: int = 0
    shown: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in another one."""
        self.runs += other.runs
        self.steps += other.steps
        self.written += other.written
        self.acked += other.acked
        self.refused += other.refused
        self.shown += other.shown
        self.faults.update(other.faults)
        self.told.update(other.told)
        self.failures += other.failures

    def unmet(self) -> list[str]:
        """Name what never happened although enough was run: nothing is proved about it."""
        kinds = FAULTS if self.runs >= FAULTS_FROM_RUNS else ()
        codes = NEWS if self.runs >= NEWS_FROM_RUNS else ()
        return [
            *(kind for kind in kinds if not self.faults[kind]),
            *(code for code in codes if not self.told[code]),
        ]


def judge(schedule: Schedule, tally: Tally | None = None) -> list[tuple[str, str]]:
    """Run one schedule; give the rules that it broke, each with its detail."""
    world = World(schedule)
    if tally is not None:
        tally.runs += 1
        tally.steps += len(schedule.steps)
    try:
        verdict = world.run()
    except (Exception, Unforeseen, Overrun):  # noqa: BLE001 - whatever it is, it is a finding
        return [(EXCEPTION, traceback.format_exc(limit=-3))]
    if tally is not None:
        counts = verdict.counts
        tally.written += counts.written
        tally.acked += counts.acked
        tally.refused += counts.failed
        tally.shown += counts.displayed
        tally.faults.update(counts.faults)
        tally.told.update(counts.told)
    return [(each.rule, each.detail) for each in verdict.violations]


def run_chunk(start: int, count: int) -> Tally:
    """Run consecutive seeds in this process."""
    gc.disable()
    tally = Tally()
    for seed in range(start, start + count):
        broken = judge(make(seed), tally)
        if broken:
            tally.failures.append(Failure(seed, *broken[0]))
        if seed % COLLECT_EVERY == 0:
            gc.collect(0)  # only what was made since the last time, nothing of the program itself
    gc.enable()
    return tally


def run_many(start: int, count: int, jobs: int) -> Iterator[Tally]:
    """Run consecutive seeds; gives what each chunk came to, as it ends."""
    return in_chunks(run_chunk, start, count, CHUNK, jobs)


def shrunk(seed: int, rule: str) -> str:
    """Give the shortest schedule found that breaks the same rule as that of a seed."""

    def fails(schedule: Schedule) -> bool:
        return any(broken == rule for broken, _ in judge(schedule))

    return SCRIPT.worded(shrink(make(seed), fails))


class Caught(Struct, frozen=True):
    """How a planted bug was found; `rule` is empty if it was not."""

    plant: str
    rule: str
    seed: int
    seconds: float


def catch(plant: Plant, most_s: float, clock: Callable[[], float] = time.process_time) -> Caught:
    """Look for a planted bug, from seed 0 on, for so long."""
    began_s = clock()
    seed = 0
    with plant.planted():
        while clock() - began_s < most_s:
            broken = judge(make(seed))
            if broken:
                return Caught(plant.name, broken[0][0], seed, clock() - began_s)
            seed += 1
    return Caught(plant.name, "", seed, clock() - began_s)
