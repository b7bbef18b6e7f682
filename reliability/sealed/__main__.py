"""`python -m reliability.sealed`: schedules of devices that seal, deaths at every commit, bugs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from reliability import seeded
from reliability.plants import CAUGHT_WITHIN_S
from reliability.sealed.plants import PLANTS
from reliability.sealed.points import FLOWS, check
from reliability.sealed.running import Tally, catch, run_many, shrunk
from reliability.sealed.schedule import SCRIPT, make
from reliability.sealed.world import World
from reliability.seeded import listed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from reliability.sealed.schedule import Schedule

PROGRAM: Final = "python -m reliability.sealed"

DESCRIPTION: Final = "Runs devices that seal for each other under random schedules with faults."

SEEDS: Final = 2_000
"""Schedules if nothing is said: minutes."""


def main(argv: list[str] | None = None) -> int:
    """Run it; gives 0 if nothing failed (or every planted bug was caught), else 1."""
    parser = seeded.parser(PROGRAM, DESCRIPTION, SEEDS, SCRIPT.read)
    parser.add_argument("--points", action="store_true", help="die at every commit of every flow")
    options = parser.parse_args(argv)
    if options.plants:
        return seeded.print_plants(_caught())
    if options.points:
        return _points()
    if options.seed is not None:
        return _again(make(options.seed))
    if options.schedule is not None:
        return _again(options.schedule)
    return _many(options)


def _many(options: argparse.Namespace) -> int:
    tally = Tally()
    parts = run_many(options.start, options.seeds, options.jobs)
    took_s = seeded.summed(parts, tally, options.seeds)
    counts = tally.counts
    print(
        f"{tally.runs:,} schedules in {took_s:.0f} s ({tally.runs / took_s:,.1f}/s,"
        f" {options.jobs} processes): {tally.steps:,} steps, {counts['written']:,} texts written,"
        f" {counts['stored']:,} stored, {counts['shown']:,} shown"
    )
    print("counted: " + listed(counts))
    print("told: " + listed(tally.told))
    seeded.print_failures(tally, shrunk, PROGRAM)
    seeded.write_result(tally, took_s, options)
    return 1 if tally.failures or tally.unmet() or not counts["stored"] else 0


def _again(schedule: Schedule) -> int:
    print(SCRIPT.worded(schedule))
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


def _caught() -> Iterator[tuple[str, str, str, float, str]]:
    for plant in PLANTS:
        caught = catch(plant, CAUGHT_WITHIN_S)
        yield plant.name, caught.rule, caught.where, caught.seconds, plant.story


if __name__ == "__main__":
    sys.exit(main())
