"""Measures a system's rounds: starts what is needed, runs the generator, collects what it found."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from benchmarks import generator, targets
from benchmarks.peers import jim
from benchmarks.peers.base import PeerError, Running, System, running
from benchmarks.workloads import IDLE, OFFLINE, Workload, summed_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.peers.base import Peer

WAITING: Final = 1_000_000
"""Messages that wait for those who are away: a thousand for each of a thousand."""

STORE_S: Final = 60.0
"""Storing ends after this time even if less waits then: a server with 2,000/s would take 8 min."""

FETCH_S: Final = 240.0
"""To log in twice and to fetch everything: four times as long as storing."""


class NotMeasuredError(Exception):
    """A workload needs the figure of another one that there is not."""


@dataclass
class Row:
    """A system with or without TLS, and what was measured of it so far."""

    system: System
    tls: bool
    server: Running
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def rate(self, key: str) -> float:
        """Give the median rate of a workload's rounds so far.

        Raises:
            NotMeasuredError: there is none, for it failed.
        """
        rates: list[float] = [found["rate"] for found in self.rounds.get(key, []) if found["rate"]]
        if not rates:
            raise NotMeasuredError(f"it needs the rate of {key}")
        return statistics.median(rates)

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
    """How long and how often: seconds of warm-up and of measuring, rounds; and how much waits."""

    warm_s: float
    measure_s: float
    rounds: int
    waiting: int = WAITING
    store_s: float = STORE_S

    def run_s(self, workload: Workload) -> float:
        """Give how long one run of the generator takes at most, without connecting."""
        if workload.mode == OFFLINE:
            return self.store_s + FETCH_S
        return self.warm_s + self.measure_s * workload.stretch


QUICK: Final = Pace(0.2, 0.5, 1, waiting=20_000, store_s=3.0)
"""Long enough to see that every system and every workload works; the figures mean little."""


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


def measure_all(
    rows: Sequence[Row], workloads: Sequence[Workload], program: Path, pace: Pace
) -> None:
    """Measure all rounds."""
    for number in range(1, pace.rounds + 1):
        for workload in workloads:
            if workload.once and number > 1:
                continue
            say(f"round {number}: {workload.title} …")
            for row in rows:
                if workload.fits(row.system, tls=row.tls):
                    measure(row, workload, program, pace)


def measure(row: Row, workload: Workload, program: Path, pace: Pace) -> None:
    """Measure one round of a workload; a failure is noted and ends nothing else."""
    try:
        with _serving(row, workload) as server:
            values = values_of(row, server, workload, pace)
            if workload.mode == IDLE:
                found = [_memory(server, values, program)]
            else:
                found = generator.run(program, values, pace.run_s(workload))
        row.rounds.setdefault(workload.key, []).extend(found)
    except (generator.GeneratorError, NotMeasuredError, PeerError) as error:
        row.failures[workload.key] = str(error)[:300]
        print(f"  {row.system.title}: {str(error)[:300]}", file=sys.stderr)


@contextlib.contextmanager
def _serving(row: Row, workload: Workload) -> Iterator[Running]:
    """Give the server: one of its own where the workload wants that, or the paused one, resumed."""
    if workload.fresh:
        with running(row.server.peer, row.server.place.directory.parent) as server:
            yield server
        return
    row.server.resume()
    try:
        yield row.server
    finally:
        row.server.pause()


def values_of(row: Row, server: Running, workload: Workload, pace: Pace) -> dict[str, object]:
    """Give the generator's options.

    Raises:
        NotMeasuredError: the rate that it takes from another workload is not there.
    """
    values: dict[str, object] = {
        "mode": workload.mode,
        "protocol": row.system.protocol,
        "port": server.port(row.system, tls=row.tls),
        "tls": int(row.tls),
        "server_pid": server.pid,
        "warm": pace.warm_s,
        "measure": pace.measure_s * workload.stretch,
        "logins_at_once": row.system.logins_at_once,
        **workload.values,
    }
    if workload.half_of:
        values["rate"] = round(row.rate(workload.half_of) / 2)
    if workload.mode == OFFLINE:
        values |= {"waiting": pace.waiting, "store": pace.store_s}
    if row.system.protocol == "jim":
        values["accounts"] = jim.accounts_file(server.place)
    return values


def _memory(server: Running, values: dict[str, object], program: Path) -> dict[str, Any]:
    """Read what an idle connection takes: between the first and the last step."""
    steps = generator.idle(program, values)
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
