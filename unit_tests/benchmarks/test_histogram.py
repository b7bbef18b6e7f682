from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.histogram import POINTS, WHOLE, Histogram, merged

ONE_TO_TEN_THOUSAND = [(value * 1_000_000, 1) for value in range(1, 10_001)]


def test_every_percentile_is_the_value_of_its_rank() -> None:
    found = Histogram(ONE_TO_TEN_THOUSAND).figures()
    assert found == {
        "samples": 10_000,
        "p50_ms": 5_000,
        "p90_ms": 9_000,
        "p99_ms": 9_900,
        "p999_ms": 9_990,
        "p9999_ms": 9_999,
        "max_ms": 10_000,
    }


def test_a_rank_between_two_values_is_the_later_one() -> None:
    late = Histogram([(1_000_000, 1), (2_000_000, 1), (3_000_000, 1)])
    assert late.figures()["p50_ms"] == 2
    assert late.figures()["p90_ms"] == 3


def test_one_slow_message_of_many_is_the_greatest_only() -> None:
    found = Histogram([(1_000_000, 99_999), (900_000_000, 1)]).figures()
    assert (found["p9999_ms"], found["max_ms"]) == (1, 900)


def test_nothing_has_no_percentile() -> None:
    assert Histogram().figures() == {"samples": 0}
    with pytest.raises(ValueError, match="no message"):
        Histogram().at_ms(WHOLE)


@given(st.lists(st.lists(st.integers(0, 10**10), max_size=20), max_size=5).filter(any))
def test_parts_merged_are_the_whole(parts: list[list[int]]) -> None:
    whole = Histogram((value, 1) for part in parts for value in part)
    found = merged(Histogram((value, 1) for value in part) for part in parts)
    assert found.counts() == whole.counts()
    ordered = sorted(value for part in parts for value in part)
    assert found.figures()["max_ms"] == ordered[-1] / 1e6
    for name, point in POINTS.items():
        value = found.figures()[name] * 1e6
        assert sum(each <= value + 0.5 for each in ordered) * WHOLE >= point * len(ordered)
