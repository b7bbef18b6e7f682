"""Runs the load that goes on (`benchmarks/generator/flow.c`), and gives what it reports.

One schedule goes on over the whole run on connections that stay open, reported interval by
interval, beside connections that are only held.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import generator
from benchmarks.generator import GeneratorError
from benchmarks.histogram import Histogram, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

PART_S: Final = 60.0
"""A line of the table: a stall of a tenth of a second is seen in its minute."""

LEAST_PARTS: Final = 4
"""Parts of a run that is too short for minutes: a beginning, an end, and something between."""

INTERVALS: Final = 3
"""Of a part: every twenty seconds whoever waits sees how it goes."""


@dataclass(frozen=True)
class Plan:
    """How a run is cut: parts are lines of the table, intervals are what is reported meanwhile."""

    part_s: float
    parts: int

    @property
    def interval_s(self) -> float:
        """How long an interval is."""
        return self.part_s / INTERVALS

    @property
    def seconds(self) -> float:
        """How long the run is."""
        return self.part_s * self.parts

    @property
    def intervals(self) -> int:
        """How many intervals there are."""
        return self.parts * INTERVALS


def plan(seconds: float) -> Plan:
    """Cut a run into whole minutes, or a short one into a few equal parts."""
    if seconds < LEAST_PARTS * PART_S:
        return Plan(seconds / LEAST_PARTS, LEAST_PARTS)
    return Plan(PART_S, round(seconds / PART_S))


@dataclass(frozen=True)
class Held:
    """Connections were opened that are only held: how many there are now.

    Attributes:
        seconds: what the logins since the last report took.
    """

    connections: int
    seconds: float


@dataclass(frozen=True)
class Interval:
    """What was measured in an interval, or in several that follow each other.

    Attributes:
        number: of the first of them, from 1.
        from_s: on the monotonic clock, like `to_s`.
        share: of its core that the load used: near 1 it is itself what is measured.
        lag_ms: by how much it was late itself, at most, in sending what was due.
        waited: messages that were sent late because the sender's window was full.
        lost: messages that never arrived; known only at the end.
        wrong: arrivals doubled, out of order or damaged, since the beginning.
    """

    number: int
    from_s: float
    to_s: float
    sent: int
    arrived: int
    share: float
    lag_ms: float
    lost: int
    waited: int
    wrong: int
    lateness: Histogram

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.to_s - self.from_s


def interval_of(found: Mapping[str, Any], now_s: float) -> Interval:
    """Read the report of an interval that has just ended."""
    return Interval(
        number=found["round"],
        from_s=now_s - found["seconds"],
        to_s=now_s,
        sent=found["sent"],
        arrived=found["arrived"],
        share=found["share"],
        lag_ms=found["lag_ms"],
        waited=found["waited"],
        lost=found["lost"],
        wrong=found["wrong"],
        lateness=Histogram(found["lateness_ns"]),
    )


def joined(intervals: Sequence[Interval]) -> Interval:
    """Make one of intervals that follow each other, one at least."""
    seconds = sum(each.seconds for each in intervals)
    return Interval(
        number=intervals[0].number,
        from_s=intervals[0].from_s,
        to_s=intervals[-1].to_s,
        sent=sum(each.sent for each in intervals),
        arrived=sum(each.arrived for each in intervals),
        share=sum(each.share * each.seconds for each in intervals) / seconds,
        lag_ms=max(each.lag_ms for each in intervals),
        waited=sum(each.waited for each in intervals),
        lost=sum(each.lost for each in intervals),
        wrong=intervals[-1].wrong,
        lateness=merged(each.lateness for each in intervals),
    )


def parts_of(intervals: Sequence[Interval]) -> list[Interval]:
    """Put the intervals of each part together."""
    starts = range(0, len(intervals), INTERVALS)
    return [joined(intervals[start : start + INTERVALS]) for start in starts]


def run(
    program: Path,
    values: Mapping[str, object],
    cut: Plan,
    *,
    on_held: Callable[[Held], None] = lambda _: None,
    on_interval: Callable[[Interval], None] = lambda _: None,
) -> list[Interval]:
    """Run the load; give its intervals, and tell of each thing as it happens.

    It shares the core of the caller, who only waits meanwhile. The connections stay open until the
    last call of `on_interval` has returned.

    Raises:
        GeneratorError: it failed, for instance because the server closed a connection.
    """
    intervals: list[Interval] = []
    rounds = {"mode": "flow", "measure": cut.interval_s, "rounds": cut.intervals}
    for found in _reports(program, {**values, **rounds}):
        if found["event"] == "held":
            on_held(Held(found["connections"], found["seconds"]))
        else:
            intervals.append(interval_of(found, time.monotonic()))
            on_interval(intervals[-1])
    return intervals


def _reports(program: Path, values: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    with subprocess.Popen(
        [program, *generator.arguments(values)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        found: dict[str, Any] = {}
        try:
            for line in process.stdout:
                found = json.loads(line)
                yield found
                if found.get("round") == values["rounds"]:
                    process.stdin.close()
            complaint = process.stderr.read().strip()
            if process.wait() and not found.get("lost"):
                raise GeneratorError(complaint or f"ended with {process.returncode}")
        finally:
            process.kill()
