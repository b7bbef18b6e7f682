from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from benchmarks import flow, generator, own
from benchmarks.flow import Held, Interval, Plan, joined, parts_of, plan
from unit_tests.benchmarks.runs import MS, interval

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("seconds", "part_s", "parts"),
    [(20, 5, 4), (200, 50, 4), (240, 60, 4), (600, 60, 10), (620, 60, 10)],
)
def test_a_run_has_whole_minutes_or_four_parts(seconds: float, part_s: float, parts: int) -> None:
    cut = plan(seconds)
    assert (cut.part_s, cut.parts) == (part_s, parts)
    assert cut.interval_s * cut.intervals == pytest.approx(cut.seconds)


def test_an_interval_knows_when_it_was() -> None:
    found = interval(3)
    assert (found.from_s, found.to_s, found.seconds) == (104, 106, 2)
    assert found.lateness.counts() == [(MS, 9), (5 * MS, 1)]


def test_intervals_add_up() -> None:
    found = joined(
        [
            interval(1, share=0.2, lag_ms=3.0, waited=4, wrong=1),
            interval(2, share=0.4, lag_ms=1.0, lateness_ns=[[MS, 2]], wrong=1, lost=7),
        ]
    )
    assert (found.from_s, found.to_s, found.sent, found.arrived) == (100, 104, 20, 20)
    assert found.share == pytest.approx(0.3)
    assert (found.lag_ms, found.waited, found.lost) == (3, 4, 7)
    assert found.wrong == 1  # it is counted from the beginning
    assert found.lateness.counts() == [(MS, 11), (5 * MS, 1)]


def test_a_part_has_its_intervals() -> None:
    found = parts_of([interval(number) for number in range(1, 7)])
    assert [(part.number, part.from_s, part.to_s) for part in found] == [
        (1, 100, 106),
        (4, 106, 112),
    ]


@pytest.mark.e2e
def test_a_server_that_is_not_there_is_a_failure_with_its_reason(flow_program: Path) -> None:
    values = {"protocol": "irc", "port": 1, "pairs": 1}
    with pytest.raises(generator.GeneratorError, match="connect"):
        flow.run(flow_program, values, Plan(0.4, 1))


@pytest.mark.e2e
def test_due_times_go_on_while_the_server_stands_still(flow_program: Path, tmp_path: Path) -> None:
    """A stall is in the figures with its whole length, and costs no message."""
    pause_s, rate = 0.4, 1000  # more than two windows of 64 are due meanwhile
    held: list[int] = []
    with own.directory(tmp_path) as place:
        own.enlist(place, ["h0", "h1", *own.pair_names(2)])
        values = own.flow_values(place, pairs=2, rate=rate, warm=0.1, idle=2)
        with own.serving(place) as (server, _):

            def stand_still(part: Interval) -> None:
                if part.number == 1:
                    server.pause()
                    time.sleep(pause_s)
                    server.resume()

            def note(found: Held) -> None:
                held.append(found.connections)

            intervals = flow.run(
                flow_program, values, Plan(3.0, 1), on_held=note, on_interval=stand_still
            )
    whole = joined(intervals)
    assert held == [2]
    assert whole.lateness.samples == 3 * rate
    assert (whole.lost, whole.wrong) == (0, 0)
    assert intervals[1].lateness.figures()["max_ms"] >= 1000 * pause_s
    assert intervals[1].waited > 0
