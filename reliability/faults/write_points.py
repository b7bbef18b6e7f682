"""kill -9 at each write and each flush of a session, from the very first start of an empty store.

A session without a kill tells how many points there are; each point is a run of its own. Points
that are done stand in `points.jsonl` of the directory, so that a long run can be continued.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from reliability.faults.model import Fault, Report, Result, Stopwatch
from reliability.faults.session import MESSAGES, Done, Point, Scope, Session, Target
from reliability.rig.inside import Room
from reliability.rig.programs import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

JOBS: Final = 2
"""At once: a run mostly waits for programs to start."""

_SCOPES: Final[dict[Scope, int]] = {"start": 0, "store": MESSAGES}
"""Scope to the messages of its session when the calls are counted."""


class Sweep:
    """All points that are wanted, some at a time, each once."""

    def __init__(self, target: Target, directory: Path, report: Report) -> None:
        """Take up what was done before in this directory."""
        self._target = target
        self._directory = directory
        self._report = report
        self._file = directory / "points.jsonl"
        self.done: dict[Point, Done] = {}
        if self._file.exists():
            for line in self._file.read_bytes().splitlines():
                done = msgspec.json.decode(line, type=Done)
                self.done[done.point] = done

    def all_points(self) -> list[Point]:
        """Play a start, and the session, without a kill, and list every call as a point."""
        found: list[Point] = []
        with Room() as room:
            for scope, messages in _SCOPES.items():
                session = Session(self._target, self._directory / scope, room, messages)
                with session.scene:
                    for call, count in sorted(session.count(scope).items()):
                        found += [Point(scope, call, k) for k in range(1, count + 1)]
                shutil.rmtree(session.scene.directory)
        return found

    def run(self, points: Iterable[Point]) -> None:
        """Go through the points that are not done yet."""
        left = [point for point in points if point not in self.done]
        with Room() as room, ThreadPoolExecutor(JOBS) as pool:
            for done in pool.map(lambda point: self._play(point, room), left):
                self.done[done.point] = done
                with self._file.open("ab") as file:
                    file.write(msgspec.json.encode(done) + b"\n")
                if len(self.done) % 50 == 0:
                    self._report(f"{len(self.done)} points")

    def _play(self, point: Point, room: Room) -> Done:
        session = Session(self._target, self._directory / str(point), room)
        with session.scene:
            try:
                done = session.play(point)
            except Ended as error:
                done = Done(point, killed=True, acks=0, violations=[str(error)])
        if not done.violations:
            shutil.rmtree(session.scene.directory, ignore_errors=True)
        return done


def choose(whole: list[Point], wanted: int, chance: random.Random) -> list[Point]:
    """Spread points evenly over all there are, each once; give all if so many are wanted."""
    if wanted >= len(whole):
        return whole
    # Whole numbers: two shares must not meet in one point, which would be played twice at once.
    edges = [number * len(whole) // wanted for number in range(wanted + 1)]
    return [whole[chance.randrange(first, end)] for first, end in pairwise(edges)]


def sweep(target: Target, cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Kill at so many points; at all of them if the number is at least that of the points."""
    watch, result = Stopwatch(), Result()
    work = Sweep(target, directory, report)
    whole = work.all_points()
    report(f"{len(whole)} points")
    work.run(choose(whole, cycles, random.Random(seed)))
    calls: Counter[str] = Counter()
    for done in work.done.values():
        result.cycles += 1
        result.acks += done.acks
        result.fired += done.killed
        calls[done.point.call] += done.killed
        result.violations += [f"{done.point}: {violation}" for violation in done.violations]
    if result.violations:
        result.kept = str(directory)
    if result.fired * 2 < result.cycles:
        result.violations.append(f"vacuous: {result.fired} of {result.cycles} points were met")
    met = ", ".join(f"{name} {count}" for name, count in calls.most_common() if name)
    result.details = f"of {len(whole)} points; killed at {met}"
    result.seconds_s = watch.seconds_s
    return result


FAULTS: Final = (
    Fault(
        name="write_points",
        description="kill -9 of the server at each write and flush of a session of 200 messages",
        run=lambda *arguments: sweep("server", *arguments),
        needs=("strace",),
        short=24,
    ),
    Fault(
        name="client_write_points",
        description="the same with a client and its own store",
        run=lambda *arguments: sweep("client", *arguments),
        needs=("strace",),
        short=16,
    ),
)
