"""Bounds held against the closed form and a table."""

from __future__ import annotations

import pytest

from reliability.confidence import upper_bound, worded


@pytest.mark.parametrize("runs", [1, 100, 10_000, 1_000_000])
def test_without_failures_it_is_the_closed_form(runs: int) -> None:
    # The rate at which `runs` successes in a row have a chance of 5 %.
    assert upper_bound(runs) == pytest.approx(1 - 0.05 ** (1 / runs), rel=1e-9)


def test_with_failures_it_is_that_of_the_usual_tables() -> None:
    # Clopper and Pearson, one-sided 95 %: 1 of 10 gives 0.3942 (Hahn and Meeker, table A.23).
    assert upper_bound(10, 1) == pytest.approx(0.3942, abs=1e-4)


def test_more_failures_than_runs_say_nothing() -> None:
    assert upper_bound(3, 3) == 1.0


def test_ten_thousand_runs_are_below_three_in_ten_thousand() -> None:
    assert worded(10_000) == "0 of 10,000: below 0.0003 with 95 % confidence"
    assert worded(0) == "nothing was run"
