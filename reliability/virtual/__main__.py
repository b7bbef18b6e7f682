"""`python -m reliability.virtual`: run seeds, look at one, or show that planted bugs are caught."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Final

from reliability.arguments import positive, result_file
from reliability.confidence import worded
from reliability.progress import Progress
from reliability.virtual.campaign import Totals, explain, run_seeds
from reliability.virtual.edges import replaced
from reliability.virtual.plants import PLANTS, catch
from reliability.virtual.play import play_seed
from reliability.virtual.scenario import FAULTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_EXPLAINED: Final = 3
"""Failures that are shrunk and shown; of the others only seed and rules."""

SUBSTANCE_RUNS: Final = 500
"""From so many runs on every kind of fault must have taken effect (the rarest, in 1 of 20 runs)."""

TAIL_LINES: Final = 60
"""Of the trace, after a failure: about the last tenth of a second of virtual time."""


def main(argv: Sequence[str] | None = None) -> int:
    """Give the exit status: 0, or 1 if anything was violated, not proved, or not caught."""
    arguments = _parser().parse_args(argv)
    if arguments.plants or arguments.plant:
        return _plants([arguments.plant] if arguments.plant else list(PLANTS), arguments.seed)
    if arguments.trace:
        return _trace(arguments.seed)
    seeds = range(arguments.seed, arguments.seed + arguments.runs)
    return _campaign(seeds, arguments.jobs, arguments.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.virtual",
        description="Runs server and client library whole on a virtual event loop and network.",
        epilog=f"planted bugs: {', '.join(PLANTS)}",
    )
    parser.add_argument(
        "--runs", type=positive, default=2000, metavar="N", help="how many seeds (2000)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the first seed (1)")
    parser.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes (1)")
    parser.add_argument(
        "--json", type=result_file, metavar="FILE", help="write the result here too"
    )
    parser.add_argument("--trace", action="store_true", help="run one seed and show its history")
    parser.add_argument(
        "--plant", choices=list(PLANTS), metavar="NAME", help="put this bug in and find it"
    )
    parser.add_argument("--plants", action="store_true", help="do so with every one")
    return parser


def _campaign(seeds: range, jobs: int, file: Path | None) -> int:
    totals, began_s = Totals(), time.monotonic()
    with Progress(len(seeds), "runs") as progress:
        for result in run_seeds(seeds, jobs):
            totals.add(result)
            if result.violations:
                progress.end()  # the line may be on the same screen
            for violation in result.violations:
                print(f"seed {result.seed}: {violation}", flush=True)
            progress.show(totals.runs, _found(totals))
    took_s = time.monotonic() - began_s
    print(f"{totals.runs}/{len(seeds)} runs, {totals.runs / took_s:.1f}/s, {_found(totals)}")
    print(_summary(totals))
    for broken in totals.broken[:MAX_EXPLAINED]:
        print(explain(broken.seed, broken.violations[0].rule, TAIL_LINES))
    if file is not None:
        file.write_text(json.dumps(_figures(totals, jobs, time.monotonic() - began_s), indent=1))
    idle = _idle(totals)
    for problem in idle:
        print(f"this proves nothing: {problem}")
    return 1 if totals.broken or idle else 0


def _found(totals: Totals) -> str:
    return f"{totals.acked} ✓, {len(totals.broken)} with violations"


def _summary(totals: Totals) -> str:
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(totals.faults.items()))
    return (
        f"{totals.acked} acknowledged, {totals.failed} refused or lost before they were queued, "
        f"{totals.displayed} shown, {totals.virtual_s / 3600:.1f} virtual hours, slowest to settle "
        f"{totals.slowest_s:.0f} s\nfaults that took effect: {faults}\n"
        f"runs with violations: {worded(totals.runs, len(totals.broken))}"
    )


def _figures(totals: Totals, jobs: int, took_s: float) -> dict[str, object]:
    return {
        "runs": totals.runs,
        "acked": totals.acked,
        "shown": totals.displayed,
        "faults": dict(totals.faults),
        "failures": [[each.seed, *map(str, each.violations)] for each in totals.broken],
        "seconds": round(took_s, 1),
        "jobs": jobs,
    }


def _idle(totals: Totals) -> list[str]:
    """Tell what a campaign of this size should have done and has not."""
    problems = [] if totals.acked >= totals.runs else ["hardly anything was acknowledged"]
    if totals.runs >= SUBSTANCE_RUNS:
        problems += [f"{kind} never took effect" for kind in FAULTS if not totals.faults[kind]]
    return problems


def _trace(seed: int) -> int:
    with replaced():
        result = play_seed(seed, tail_lines=10**6)
    print("\n".join(result.tail))
    print(f"seed {seed}: {result.notes} notes, fingerprint {result.digest & (2**64 - 1):016x}")
    for violation in result.violations:
        print(violation)
    return 1 if result.violations else 0


def _plants(names: Sequence[str], first_seed: int) -> int:
    missed = 0
    print(f"{'bug':<26} {'caught by':<14} {'seed':>6} {'runs':>6} {'s':>6}")
    for name in names:
        caught = catch(name, first_seed)
        missed += caught.rule is None
        rule = caught.rule or "NOT CAUGHT"
        row = f"{name:<26} {rule:<14} {caught.seed:>6} {caught.runs:>6} {caught.took_s:>6.1f}"
        print(row, flush=True)
    print(f"{len(names) - missed} of {len(names)} caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
