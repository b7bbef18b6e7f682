"""`python -m reliability.simulate`: schedules of the pure core, planted bugs, one seed again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from reliability import seeded
from reliability.plants import CAUGHT_WITHIN_S
from reliability.seeded import listed
from reliability.simulate.plants import PLANTS
from reliability.simulate.running import Tally, catch, run_many, shrunk
from reliability.simulate.schedule import SCRIPT, make
from reliability.simulate.world import World

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from reliability.simulate.schedule import Schedule

PROGRAM: Final = "python -m reliability.simulate"

DESCRIPTION: Final = "Runs the pure core of server and client under random schedules with faults."

SEEDS: Final = 20_000
"""Schedules if nothing is said: half a minute."""


def main(argv: list[str] | None = None) -> int:
    """Run it; gives 0 if nothing failed (or every planted bug was caught), else 1."""
    parser = seeded.parser(PROGRAM, DESCRIPTION, SEEDS, SCRIPT.read)
    options = parser.parse_args(argv)
    if options.plants:
        return seeded.print_plants(_caught())
    if options.seed is not None:
        return _again(make(options.seed))
    if options.schedule is not None:
        return _again(options.schedule)
    return _many(options)


def _many(options: argparse.Namespace) -> int:
    tally = Tally()
    parts = run_many(options.start, options.seeds, options.jobs)
    took_s = seeded.summed(parts, tally, options.seeds)
    print(
        f"{tally.runs:,} schedules in {took_s:.0f} s ({tally.runs / took_s:,.0f}/s,"
        f" {options.jobs} processes): {tally.steps:,} steps, {tally.written:,} messages written,"
        f" {tally.acked:,} acknowledged, {tally.refused:,} refused, {tally.shown:,} shown"
    )
    print("faults: " + listed(tally.faults))
    print("told: " + listed(tally.told))
    seeded.print_failures(tally, shrunk, PROGRAM)
    seeded.write_result(tally, took_s, options)
    return 1 if tally.failures or tally.unmet() or not tally.acked else 0


def _again(schedule: Schedule) -> int:
    print(SCRIPT.worded(schedule))
    world = World(schedule)
    try:
        verdict = world.run()
    finally:
        for event in world.history:
            print(f"  {event}")
    for violation in verdict.violations:
        print(violation)
    if not verdict.violations:
        print("nothing was broken")
    return 1 if verdict.violations else 0


def _caught() -> Iterator[tuple[str, str, str, float, str]]:
    for plant in PLANTS:
        caught = catch(plant, CAUGHT_WITHIN_S)
        yield plant.name, caught.rule, f"seed {caught.seed}", caught.seconds, plant.story


if __name__ == "__main__":
    sys.exit(main())
