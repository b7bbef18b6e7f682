"""Percentiles, slopes, checks and the report: what decides whether a run was good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reliability.load.figures import (
    SHOWN_VIOLATIONS,
    Check,
    Report,
    at_least,
    at_most,
    kept,
    percentile,
    slope,
)
from reliability.promise import Counts, Verdict, Violation

numbers = st.floats(min_value=-1e6, max_value=1e6)


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


@given(st.lists(numbers, min_size=1), st.floats(min_value=0, max_value=100))
def test_a_percentile_is_one_of_the_values_and_bounds_its_share(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values) - 1e-9


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 99)


@given(numbers, st.floats(min_value=-1e3, max_value=1e3))
def test_the_slope_of_a_line_is_the_line_s(start: float, rise: float) -> None:
    points = [(float(x), start + rise * x) for x in range(20)]
    assert slope(points) == pytest.approx(rise, abs=1e-6)


def test_the_slope_is_that_of_the_least_squares() -> None:
    assert slope([(0, 0), (1, 2), (2, 1)]) == pytest.approx(0.5)
    assert slope([(0, 3), (1, 1), (2, 1), (3, 3)]) == pytest.approx(0.0)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]])
def test_one_place_has_no_slope(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="two different places"):
        slope(points)


def test_bounds_hold_up_to_themselves_and_no_further() -> None:
    assert at_most("x", 2.0, 2.0).good
    assert not at_most("x", 2.01, 2.0).good
    assert not at_most("x", float("inf"), 2.0).good
    assert not at_most("x", float("nan"), 2.0).good
    assert at_least("x", 2, 2).good
    assert not at_least("x", 1, 2).good
    assert not at_least("x", float("nan"), 2).good


def test_a_report_is_good_only_if_every_check_is() -> None:
    good = [Check("a", True, ""), Check("b", True, "")]
    assert Report("storm", "short", checks=good).good
    report = Report("storm", "short", checks=[*good, Check("c", False, "why")])
    assert not report.good
    assert "FAIL c: why" in report.text()
    assert report.text().startswith("storm (short): FAILED")


def test_a_report_without_a_check_has_proved_nothing() -> None:
    assert not Report("storm", "short").good


def test_a_violation_of_the_promise_fails_the_run_and_is_shown() -> None:
    verdict = Verdict([Violation("lost", f"m{i}") for i in range(30)], Counts(acked=3))
    report = Report("storm", "short", checks=kept(verdict))
    report.violations = [str(each) for each in verdict.violations]
    assert not report.good
    assert report.text().count("violation:") == SHOWN_VIOLATIONS
    assert "violation: lost: m0" in report.text()


def test_the_report_says_what_was_lifted() -> None:
    assert "limits lifted: none" in Report("storm", "short").text()
    assert "window=3" in Report("storm", "short", lifted={"window": "3"}).text()
