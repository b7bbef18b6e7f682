"""What layers share that run seeded schedules of numbered steps: text, shrinking, cores, report.

A layer keeps what is its own: the kinds of its steps, its climates, its world, and its rules.
"""

from __future__ import annotations

import argparse
import enum
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, Self, TypeVar

import msgspec
from msgspec import Struct

from reliability.arguments import positive, result_file
from reliability.confidence import worded
from reliability.progress import Progress

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator

ClimateT = TypeVar("ClimateT")
TallyT = TypeVar("TallyT", bound="Tally")
ChunkT = TypeVar("ChunkT")

Step = tuple[int, int]
"""A kind, and the number that its choices are made from."""

CHOICES: Final = 1 << 30
"""Numbers of steps lie below: small enough to be an int without a heap of digits, large enough
that a remainder by any count here is even."""

MOST_SHOWN: Final = 3
"""Failures that are shrunk and printed; more of them are rarely of another kind."""


# --- schedules ------------------------------------------------------------------------------------


class Schedule(Struct, Generic[ClimateT], frozen=True):
    """Everything that a run depends on.

    Attributes:
        climate: what kinds of steps there are, and what the world is like.
        shuffle: seeds what a world chooses once, or in between.
        steps: what happens, in this order.
    """

    climate: ClimateT
    shuffle: int
    steps: tuple[Step, ...]


class Script(Struct, Generic[ClimateT], frozen=True):
    """How the schedules of a layer are written: by the names of its steps."""

    kinds: type[enum.IntEnum]
    climates: tuple[ClimateT, ...]

    def worded(self, schedule: Schedule[ClimateT]) -> str:
        """Give a schedule as text that `read` understands."""
        steps = (f"{self.kinds(kind).name.lower()}:{number}" for kind, number in schedule.steps)
        return f"{self.climates.index(schedule.climate)}/{schedule.shuffle} {' '.join(steps)}"

    def read(self, text: str) -> Schedule[ClimateT]:
        """Read what `worded` gave.

        Raises:
            ValueError: the text is no schedule.
        """
        head, *words = text.split()
        climate, _, shuffle = head.partition("/")
        steps = []
        for word in words:
            name, _, number = word.partition(":")
            try:
                steps.append((int(self.kinds[name.upper()]), int(number)))
            except KeyError:
                raise ValueError(f"{name} is no kind of step") from None
        return Schedule(self.climates[int(climate)], int(shuffle), tuple(steps))


def shrink(
    schedule: Schedule[ClimateT], fails: Callable[[Schedule[ClimateT]], bool]
) -> Schedule[ClimateT]:
    """Take out steps, large pieces first, for as long as the schedule still fails."""
    steps = list(schedule.steps)
    size = len(steps)
    while size:
        start = 0
        while start < len(steps):
            shorter = steps[:start] + steps[start + size :]
            if fails(Schedule(schedule.climate, schedule.shuffle, tuple(shorter))):
                steps = shorter
            else:
                start += size
        size //= 2
    return Schedule(schedule.climate, schedule.shuffle, tuple(steps))


# --- many of them ---------------------------------------------------------------------------------


class Failure(Struct, frozen=True):
    """A schedule that broke a rule."""

    seed: int
    rule: str
    detail: str


class Tally(Protocol):
    """What a number of schedules came to."""

    runs: int
    failures: list[Failure]

    def add(self, other: Self) -> None:
        """Take in another one."""

    def unmet(self) -> list[str]:
        """Name what never happened although enough was run: nothing is proved about it."""


def in_chunks(
    run_chunk: Callable[[int, int], ChunkT], start: int, runs: int, size: int, jobs: int
) -> Iterator[ChunkT]:
    """Run consecutive seeds, so many at once; gives what each chunk came to, as it ends.

    Args:
        run_chunk: takes the first seed and how many; of a module, so that a process can find it.
        start: the first seed.
        runs: how many.
        size: seeds of a chunk.
        jobs: processes; with one everything runs in this one.
    """
    chunks = [
        (first, min(size, start + runs - first)) for first in range(start, start + runs, size)
    ]
    if jobs == 1:
        for chunk in chunks:
            yield run_chunk(*chunk)
        return
    # Spawned, so that nothing of this process can make a difference.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(run_chunk, *zip(*chunks, strict=True))


def summed(parts: Iterable[TallyT], tally: TallyT, runs: int) -> float:
    """Add parts to a tally as they come, showing how far it is; gives the seconds it took.

    A failure is printed at once: whoever waits for many more can look at it meanwhile.
    """
    began_s = time.perf_counter()
    progress = Progress(runs, "schedules")
    for part in parts:
        tally.add(part)
        if part.failures:
            progress.end()
        for failure in part.failures:
            print(f"seed {failure.seed}: {failure.rule}: {failure.detail}", flush=True)
        progress.show(tally.runs, f"{len(tally.failures)} failed")
    progress.end()
    return time.perf_counter() - began_s


def print_failures(tally: Tally, shrunk: Callable[[int, str], str], program: str) -> None:
    """Say how many schedules failed, and of the first ones how to see them again."""
    print("failures: " + worded(tally.runs, len(tally.failures)))
    for failure in tally.failures[:MOST_SHOWN]:
        print(f"\nseed {failure.seed}: {failure.rule}: {failure.detail}")
        print(f"shrunk: {shrunk(failure.seed, failure.rule)}")
        print(f"again: {program} --seed {failure.seed}")
    if unmet := tally.unmet():
        print(f"vacuous: never met in {tally.runs:,} runs: {', '.join(unmet)}")


def write_result(tally: Tally, took_s: float, options: argparse.Namespace) -> None:
    """Write a tally where the options want it."""
    if options.json:
        told = {"seconds": round(took_s, 1), "jobs": options.jobs, "unmet": tally.unmet()}
        result = told | msgspec.to_builtins(tally)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def listed(counts: Counter[str]) -> str:
    """Word counts, by name."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


# --- the command line -----------------------------------------------------------------------------


def parser(
    program: str, description: str, seeds: int, read: Callable[[str], Any]
) -> argparse.ArgumentParser:
    """Make the options that the programs of all layers have.

    Args:
        program: as it is called.
        description: of the program.
        seeds: how many are run if nothing is said.
        read: reads a printed schedule; raises ValueError or IndexError if it is none.
    """

    def schedule(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, IndexError) as error:
            raise argparse.ArgumentTypeError(f"{text[:40]!r} is no schedule: {error}") from None

    found = argparse.ArgumentParser(prog=program, description=description)
    found.add_argument(
        "--seeds", type=positive, default=seeds, metavar="N", help="how many schedules"
    )
    found.add_argument("--start", type=int, default=0, metavar="S", help="the first seed")
    found.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes")
    found.add_argument("--json", type=result_file, metavar="FILE", help="write the result here too")
    found.add_argument("--seed", type=int, metavar="S", help="run one seed and show its history")
    found.add_argument(
        "--schedule", type=schedule, metavar="TEXT", help="run a schedule that was printed"
    )
    found.add_argument("--plants", action="store_true", help="see every planted bug caught")
    return found


def print_plants(caught: Iterable[tuple[str, str, str, float, str]]) -> int:
    """Print a line for each planted bug; gives the exit status, 1 if one was not caught.

    Args:
        caught: name, rule (empty if none caught it), where, seconds, story.
    """
    missed = total = 0
    for name, rule, where, seconds, story in caught:
        found = f"{rule} at {where}" if rule else "NOT CAUGHT"
        total += 1
        missed += not rule
        print(f"{name:28} {seconds:6.2f} s  {found:32} {story}", flush=True)
    print(f"{total - missed} of {total} caught")
    return 1 if missed else 0
