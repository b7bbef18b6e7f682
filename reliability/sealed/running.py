"""Run many schedules, on as many cores as wanted; find, shrink and word what fails."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from reliability.sealed.liar import Lie
from reliability.sealed.points import FLOWS, check
from reliability.sealed.schedule import SCRIPT, make
from reliability.sealed.world import FAULTS, World
from reliability.seeded import Failure, in_chunks, shrink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliability.sealed.plants import Bug
    from reliability.sealed.schedule import Schedule

CHUNK: Final = 20
"""Schedules handed to a process at once: a few seconds of work."""

FAULTS_FROM_RUNS: Final = 1_000
"""From so many runs on every kind of fault and lie must have taken effect."""

EXCEPTION: Final = "unhandled"
"""The rule of a run in which the code under test raised what it must not."""


class Tally(Struct):
    """What a number of schedules came to."""

    runs: int = 0
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in another one."""
        self.runs += other.runs
        self.steps += other.steps
        self.counts.update(other.counts)
        self.told.update(other.told)
        self.failures += other.failures

    def unmet(self) -> list[str]:
        """Name what never happened although enough was run: nothing is proved about it."""
        kinds = [*FAULTS, *(f"lie: {lie.value}" for lie in Lie)]
        return [kind for kind in kinds if not self.counts[kind]] if self.is_enough else []

    @property
    def is_enough(self) -> bool:
        """Whether everything should have happened."""
        return self.runs >= FAULTS_FROM_RUNS


def judge(schedule: Schedule, tally: Tally | None = None) -> list[tuple[str, str]]:
    """Run one schedule; give the rules that it broke, each with its detail."""
    world = World(schedule)
    if tally is not None:
        tally.runs += 1
        tally.steps += len(schedule.steps)
    try:
        book = world.run()
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        found = [(each.rule, each.detail) for each in world.book.violations]
        return [*found, (EXCEPTION, traceback.format_exc(limit=-4))]
    if tally is not None:
        tally.counts.update(book.counts)
        tally.told.update(book.told)
    return [(each.rule, each.detail) for each in book.violations]


def run_chunk(start: int, runs: int) -> Tally:
    """Run consecutive seeds in this process."""
    tally = Tally()
    for seed in range(start, start + runs):
        if broken := judge(make(seed), tally):
            tally.failures.append(Failure(seed, *broken[0]))
    return tally


def run_many(start: int, runs: int, jobs: int) -> Iterator[Tally]:
    """Run consecutive seeds; gives what each chunk came to, as it ends."""
    return in_chunks(run_chunk, start, runs, CHUNK, jobs)


def shrunk(seed: int, rule: str) -> str:
    """Give the shortest schedule found that breaks the same rule as that of a seed."""

    def fails(schedule: Schedule) -> bool:
        return any(broken == rule for broken, _ in judge(schedule))

    return SCRIPT.worded(shrink(make(seed), fails))


class Caught(Struct, frozen=True):
    """How a planted bug was found, and at which seed or commit; `rule` is empty if it was not."""

    plant: str
    rule: str
    where: str
    seconds: float


def catch(plant: Bug, most_s: float, clock: Callable[[], float] = time.process_time) -> Caught:
    """Look for a planted bug for so long: by what it breaks, not by a traceback.

    Only what the bug needs to show is run: its flow, or seeds of its climate and with its lie.
    """
    began_s, where = clock(), ""
    with plant.planted():
        for where, found in _of_flow(plant) if plant.flow else _of_seeds(plant):
            took_s = clock() - began_s
            rules = [rule for rule in found if rule != EXCEPTION]
            if rules or took_s >= most_s:
                return Caught(plant.name, rules[0] if rules else "", where, took_s)
    return Caught(plant.name, "", where, clock() - began_s)


def _of_flow(plant: Bug) -> Iterator[tuple[str, list[str]]]:
    for flow in FLOWS:
        if flow.name == plant.flow:
            for point, found in check(flow):
                yield f"commit {point.commit}", [each.rule for each in found]


def _of_seeds(plant: Bug) -> Iterator[tuple[str, list[str]]]:
    for seed in count():
        schedule = make(seed)
        if plant.may_show(schedule):
            yield f"seed {seed}", [rule for rule, _ in judge(schedule)]
