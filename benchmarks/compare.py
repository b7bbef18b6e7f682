"""Measures our server beside others, in one run: `python -m benchmarks.compare`.

Every server runs on core 0 and the generator on core 1; one server works at a time, the others are
stopped. A round measures every workload of every system once, and then comes the next round: so
what disturbs the machine disturbs all of them. Installing the others: docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import chart, generator, report, targets
from benchmarks.machine import described
from benchmarks.peers import PEERS, jim
from benchmarks.peers.base import PeerError, Running, System, running
from benchmarks.workloads import IDLE, WORKLOADS, Workload, summed_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peers.base import Peer


@dataclass
class Row:
    """A system with or without TLS, and what was measured of it so far."""

    system: System
    tls: bool
    server: Running
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Give the row as it stands in the JSON file."""
        return {
            "key": self.system.key,
            "title": self.system.title,
            "tls": self.tls,
            "durable": self.system.durable,
            "workloads": {key: summed_up(rounds) for key, rounds in self.rounds.items()},
            "failures": self.failures,
        }


@dataclass(frozen=True)
class Pace:
    """How long and how often: seconds of warm-up and of measuring, rounds."""

    warm_s: float
    measure_s: float
    rounds: int

    @property
    def run_s(self) -> float:
        """How long one run of the generator measures."""
        return self.warm_s + self.measure_s


QUICK = Pace(0.2, 0.5, 1)
"""Long enough to see that every system and every workload works; the figures mean little."""


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


@contextlib.contextmanager
def started(peers: Sequence[Peer], only: str | None, scratch: Path | None) -> Iterator[list[Row]]:
    """Start all servers and pause them; one that does not start is named and left out."""
    rows = []
    wanted = only.split(",") if only else None
    with contextlib.ExitStack() as stack:
        for peer in peers:
            say(f"starting {peer.systems[0].title} …")
            try:
                server = stack.enter_context(running(peer, scratch))
            except PeerError as error:
                print(error, file=sys.stderr)
                continue
            server.pause()
            for system in peer.systems:
                if wanted is None or system.key in wanted:
                    rows += [Row(system, tls, server) for tls in system.tls]
        yield rows


def measure(row: Row, workload: Workload, program: Path, pace: Pace) -> None:
    """Measure one round of a workload; a failure is noted and ends nothing else."""
    try:
        if workload.mode == IDLE:
            rounds = [_memory(row, workload, program, pace)]
        else:
            rounds = _rounds(row, workload, program, pace)
        row.rounds.setdefault(workload.key, []).extend(rounds)
    except (generator.GeneratorError, PeerError) as error:
        row.failures[workload.key] = str(error)[:300]
        print(f"  {row.system.title}: {str(error)[:300]}", file=sys.stderr)


def values_of(row: Row, server: Running, workload: Workload, pace: Pace) -> dict[str, object]:
    """Give the generator's options."""
    values: dict[str, object] = {
        "mode": workload.mode,
        "protocol": row.system.protocol,
        "port": server.port(row.system, tls=row.tls),
        "tls": int(row.tls),
        "warm": pace.warm_s,
        "measure": pace.measure_s * workload.stretch,
        "logins_at_once": row.system.logins_at_once,
        **workload.values,
    }
    if row.system.protocol == "jim":
        values["accounts"] = jim.accounts_file(server.place)
    return values


def _rounds(row: Row, workload: Workload, program: Path, pace: Pace) -> list[dict[str, Any]]:
    server = row.server
    values = values_of(row, server, workload, pace)
    server.resume()
    try:
        cpu = targets.cpu_s(server.pid)
        rounds = generator.run(program, values, pace.run_s * workload.stretch)
        for found in rounds:
            found["server_cpu_s"] = round(targets.cpu_s(server.pid) - cpu, 2)
    finally:
        server.pause()
    return rounds


def _memory(row: Row, workload: Workload, program: Path, pace: Pace) -> dict[str, Any]:
    """Read what an idle connection takes, at a fresh server: between the first and the last step.

    One that had more connections before would only use again what it has.
    """
    with running(row.server.peer, row.server.place.directory.parent) as server:
        steps = generator.idle(program, values_of(row, server, workload, pace))
        readings = [(count, targets.rss_kib(server.pid)) for count in _after_rest(steps)]
    (first, before), (last, after) = readings[0], readings[-1]
    return {"kib_per_connection": (after - before) / (last - first), "connections": last}


def _after_rest(steps: Iterator[int]) -> Iterator[int]:
    for count in steps:
        time.sleep(0.5)  # what a login left behind is freed
        yield count


def say(text: str) -> None:
    """Tell whoever waits what is going on."""
    print(text, file=sys.stderr, flush=True)


def rounds_of(rows: Sequence[Row], program: Path, pace: Pace) -> None:
    """Measure all rounds."""
    for number in range(1, pace.rounds + 1):
        for workload in WORKLOADS:
            if workload.once and number > 1:
                continue
            say(f"round {number}: {workload.title} …")
            for row in rows:
                if workload.fits(row.system):
                    measure(row, workload, program, pace)


def parsed() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--only", help="systems, with commas: jim,redis,mqtt1")
    parser.add_argument("--seconds", type=float, default=2.0, help="a round of a workload")
    parser.add_argument("--warm", type=float, default=0.5, help="before each round, seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 0.5 s, to see it work")
    parser.add_argument("--scratch", type=Path, help="where servers keep their data: a real disk")
    parser.add_argument("--show", type=Path, help="measure nothing, show this file of figures")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--svg", type=Path, help="draw the figures into this file")
    return parser.parse_args()


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything that was chosen; give the figures."""
    pace = Pace(options.warm, options.seconds, options.rounds)
    if options.quick:
        pace = QUICK
    targets.raise_descriptor_limit()
    program = generator.compiled()
    targets.pin(targets.LOAD_CORE)
    peers = chosen(options.only)
    figures: dict[str, Any] = {"machine": described(options.scratch)}
    figures["versions"] = {peer.systems[0].title: peer.version_text() for peer in peers}
    figures["pace"] = vars(pace)
    with started(peers, options.only, options.scratch) as rows:
        rounds_of(rows, program, pace)
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
