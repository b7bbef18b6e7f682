"""Measures our server beside others, in one run: `python -m benchmarks.compare`.

Every server runs on core 0 and the generator on core 1; one server works at a time, the others are
stopped. A round measures every workload of every system once, and then comes the next round: so
what disturbs the machine disturbs all of them. Installing the others: docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import chart, generator, report, targets, workloads
from benchmarks.machine import described
from benchmarks.peers import PEERS
from benchmarks.rounds import QUICK, WAITING, Pace, measure_all, started

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer


def chosen(only: str | None) -> list[Peer]:
    """Give the servers to measure; those that are not installed are named with the command.

    Raises:
        SystemExit: `only` names a system that there is not.
    """
    wanted = set(only.split(",")) if only else {s.key for peer in PEERS for s in peer.systems}
    unknown = wanted - {system.key for peer in PEERS for system in peer.systems}
    if unknown:
        raise SystemExit(f"there is no system {', '.join(sorted(unknown))}")
    peers = [peer for peer in PEERS if any(system.key in wanted for system in peer.systems)]
    missing = [peer.package for peer in peers if peer.program() is None]
    if missing:
        print(f"not installed: apt-get install {' '.join(missing)}", file=sys.stderr)
    return [peer for peer in peers if peer.program()]


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--only", help="systems, with commas: jim,redis,mqtt1")
    keys = ",".join(workload.key for workload in workloads.WORKLOADS)
    parser.add_argument("--workloads", help=f"with commas, of: {keys}")
    parser.add_argument("--seconds", type=float, default=2.0, help="a round of a workload")
    parser.add_argument("--warm", type=float, default=0.5, help="before each round, seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--waiting", type=_positive, help=f"messages for those who are away ({WAITING:,})"
    )
    parser.add_argument("--quick", action="store_true", help="one round of 0.5 s, to see it work")
    parser.add_argument("--scratch", type=Path, help="where servers keep their data: a real disk")
    parser.add_argument("--show", type=Path, help="measure nothing, show this file of figures")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--svg", type=Path, help="draw the figures into this file")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("it is above 0")
    return value


def pace_of(options: argparse.Namespace) -> Pace:
    """Give the pace that the arguments ask for."""
    pace = QUICK if options.quick else Pace(options.warm, options.seconds, options.rounds)
    return replace(pace, waiting=options.waiting) if options.waiting else pace


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that was chosen; give the figures."""
    pace = pace_of(options)
    wanted = workloads.chosen(options.workloads)
    peers = chosen(options.only)
    targets.raise_descriptor_limit()
    program = generator.compiled()
    targets.pin(targets.LOAD_CORE)
    figures: dict[str, Any] = {"machine": described(options.scratch)}
    figures["versions"] = {peer.systems[0].title: peer.version_text() for peer in peers}
    figures["pace"] = vars(pace)
    with started(peers, options.only, options.scratch) as rows:
        measure_all(rows, wanted, program, pace)
    return figures | {"systems": [row.figures() for row in rows]}


def main() -> int:
    """Measure and print; fail when our server failed or misplaced a message."""
    options = parsed()
    try:
        figures = json.loads(options.show.read_text()) if options.show else measured(options)
    except generator.GeneratorError as error:
        raise SystemExit(str(error)) from error
    print(report.tables(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.svg:
        options.svg.write_text(chart.picture(figures))
    return 1 if report.complaints(figures, only=report.OURS) else 0


if __name__ == "__main__":
    raise SystemExit(main())
