from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import guard
from benchmarks.rounds import Pace
from benchmarks.side_by_side import Rates, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RECORDED = {"window 64": 0.5, "window 1": 0.4}


class Measurements:
    """Gives what was planted, one measurement after the other, of the workloads asked for."""

    def __init__(self, *found: Mapping[str, float]) -> None:
        self.found = list(found)
        self.asked: list[list[str]] = []

    def __call__(self, shapes: Sequence[Shape]) -> dict[str, float]:
        self.asked.append([shape.key for shape in shapes])
        found = self.found.pop(0)
        return {shape.key: found[shape.key] for shape in shapes}


def shares(**of_record: float) -> dict[str, float]:
    return {key: RECORDED[key] * of_record[key.replace(" ", "")] for key in RECORDED}


@pytest.mark.parametrize(("of_record", "fails"), [(0.69, True), (0.72, False), (1.4, False)])
def test_a_loss_of_more_than_thirty_percent_fails(of_record: float, fails: bool) -> None:
    verdicts = guard.judge({"window 1": 0.4 * of_record}, RECORDED)
    assert [verdict.fails for verdict in verdicts] == [fails]


def test_a_verdict_shows_what_was_measured_and_the_bound() -> None:
    (verdict,) = guard.judge({"window 64": 0.3}, RECORDED)
    assert str(verdict) == "window 64: 0.300 of the relay, recorded 0.500, bound 0.350: FAILS"


def test_a_workload_that_nobody_recorded_is_not_judged_by_chance() -> None:
    with pytest.raises(KeyError):
        guard.judge({"window 7": 1.0}, RECORDED)


def test_the_ratio_is_the_median_over_rounds_that_were_disturbed_together() -> None:
    rates = Rates(jim=[50.0, 5.0, 49.0, 1.0, 52.0], relay=[100.0, 10.0, 101.0, 100.0, 10.0])
    assert guard.ratio_of(rates) == 0.5


def test_what_is_good_is_measured_once() -> None:
    measure = Measurements(shares(window64=0.72, window1=1.0))
    assert guard.failing(measure, RECORDED) == []
    assert measure.asked == [["window 64", "window 1"]]


def test_only_what_falls_short_is_measured_again_and_may_be_good_then() -> None:
    measure = Measurements(shares(window64=1.0, window1=0.69), shares(window64=0, window1=0.9))
    assert guard.failing(measure, RECORDED) == []
    assert measure.asked == [["window 64", "window 1"], ["window 1"]]


def test_what_falls_short_twice_has_failed() -> None:
    measure = Measurements(shares(window64=0.5, window1=1.0), shares(window64=0.69, window1=0))
    assert [verdict.key for verdict in guard.failing(measure, RECORDED)] == ["window 64"]


def test_every_workload_has_a_record() -> None:
    ratios = json.loads(guard.RECORD.read_text(encoding="utf-8"))["ratios"]
    assert set(ratios) == {shape.key for shape in guard.SHAPES}
    assert all(0 < ratio < 1 for ratio in ratios.values())


@pytest.mark.e2e
def test_a_measurement_gives_a_ratio_for_every_workload() -> None:
    ratios = guard.measured([Shape("small", 2, 4)], Pace(0.0, 0.1, 1))
    assert list(ratios) == ["small"]
    assert ratios["small"] > 0
