"""`python -m reliability.sealed`: schedules of devices that seal, deaths at every commit, bugs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from reliability.arguments import positive, result_file
from reliability.confidence import worded
from reliability.plants import CAUGHT_WITHIN_S
from reliability.progress import Progress
from reliability.sealed.plants import PLANTS
from reliability.sealed.points import FLOWS, check
from reliability.sealed.running import Tally, catch, run_many, shrunk
from reliability.sealed.schedule import Schedule, make, read
from reliability.sealed.schedule import worded as in_words
from reliability.sealed.world import World

if TYPE_CHECKING:
    from collections import Counter

MOST_SHOWN: Final = 3
"""Failures that are shrunk and printed; more of them are rarely of another kind."""


def main(argv: list[str] | None = None) -> int:
    """Run it; gives 0 if nothing failed (or every planted bug was caught), else 1."""
    options = _parser().parse_args(argv)
    if options.plants:
        return _plants()
    if options.points:
        return _points()
    if options.seed is not None:
        return _again(make(options.seed))
    if options.schedule is not None:
        return _again(options.schedule)
    return _many(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.sealed",
        description="Runs devices that seal for each other under random schedules with faults.",
    )
    parser.add_argument(
        "--seeds", type=positive, default=2_000, metavar="N", help="how many schedules"
    )
    parser.add_argument("--start", type=int, default=0, metavar="S", help="the first seed")
    parser.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes")
    parser.add_argument(
        "--json", type=result_file, metavar="FILE", help="write the result here too"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="run one seed and show its history")
    parser.add_argument(
        "--schedule", type=_schedule, metavar="TEXT", help="run a schedule that was printed"
    )
    parser.add_argument("--points", action="store_true", help="die at every commit of every flow")
    parser.add_argument("--plants", action="store_true", help="see every planted bug caught")
    return parser


def _schedule(text: str) -> Schedule:
    """Take a schedule as a failure prints it.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return read(text)
    except (ValueError, IndexError) as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no schedule: {error}") from None


def _many(options: argparse.Namespace) -> int:
    began_s = time.perf_counter()
    tally = Tally()
    progress = Progress(options.seeds, "schedules")
    for part in run_many(options.start, options.seeds, options.jobs):
        tally.add(part)
        if part.failures:
            progress.end()
        for failure in part.failures:
            # At once: whoever waits for thousands more can look at it meanwhile.
            print(f"seed {failure.seed}: {failure.rule}: {failure.detail}", flush=True)
        progress.show(tally.runs, f"{len(tally.failures)} failed")
    took_s = time.perf_counter() - began_s
    progress.end()
    counts = tally.counts
    print(
        f"{tally.runs:,} schedules in {took_s:.0f} s ({tally.runs / took_s:,.1f}/s,"
        f" {options.jobs} processes): {tally.steps:,} steps, {counts['written']:,} texts written,"
        f" {counts['stored']:,} stored, {counts['shown']:,} shown"
    )
    print("counted: " + _listed(counts))
    print("told: " + _listed(tally.told))
    print("failures: " + worded(tally.runs, len(tally.failures)))
    for failure in tally.failures[:MOST_SHOWN]:
        print(f"\nseed {failure.seed}: {failure.rule}: {failure.detail}")
        print(f"shrunk: {shrunk(failure.seed, failure.rule)}")
        print(f"again: python -m reliability.sealed --seed {failure.seed}")
    if unmet := tally.unmet():
        print(f"vacuous: never met in {tally.runs:,} runs: {', '.join(unmet)}")
    if options.json:
        told = {"seconds": round(took_s, 1), "jobs": options.jobs, "unmet": unmet}
        result = told | msgspec.to_builtins(tally)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if tally.failures or unmet or not counts["stored"] else 0


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _again(schedule: Schedule) -> int:
    print(in_words(schedule))
    world = World(schedule)
    try:
        world.run()
    finally:
        for line in world.book.trace:
            print(f"  {line}")
    for violation in world.book.violations:
        print(violation)
    if not world.book.violations:
        print("nothing was broken")
    return 1 if world.book.violations else 0


def _points() -> int:
    broken = 0
    for flow in FLOWS:
        points = 0
        for point, found in check(flow):
            points += 1
            broken += bool(found)
            for violation in found:
                moment = point.moment.name.lower()
                print(f"{flow.name}, {moment} commit {point.commit}: {violation}", flush=True)
        print(f"{flow.name}: {points - 1} deaths", flush=True)
    return 1 if broken else 0


def _plants() -> int:
    missed = 0
    for plant in PLANTS:
        caught = catch(plant, CAUGHT_WITHIN_S)
        found = f"{caught.rule} at {caught.where}" if caught.rule else "NOT CAUGHT"
        missed += not caught.rule
        print(f"{plant.name:28} {caught.seconds:6.2f} s  {found:28} {plant.story}", flush=True)
    print(f"{len(PLANTS) - missed} of {len(PLANTS)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
