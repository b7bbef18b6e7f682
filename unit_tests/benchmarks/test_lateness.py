from __future__ import annotations

import pytest

from benchmarks import lateness, targets

MS = 1_000_000


def test_percentiles_are_samples_at_their_nearest_rank() -> None:
    values_ns = [value * MS for value in range(2000, 0, -1)]
    assert lateness.points(values_ns) == {
        "p50_ms": 1000,
        "p90_ms": 1800,
        "p99_ms": 1980,
        "p999_ms": 1998,
        "max_ms": 2000,
    }


def test_one_late_sample_in_a_thousand_is_seen_by_the_maximum_only() -> None:
    found = lateness.points([MS] * 999 + [500 * MS])
    assert (found["p999_ms"], found["max_ms"]) == (1, 500)


def test_nothing_has_no_percentiles() -> None:
    with pytest.raises(ValueError, match="no samples"):
        lateness.points([])


@pytest.mark.e2e
async def test_every_message_of_a_schedule_is_a_sample() -> None:
    with targets.reference_relay() as (address, _pid):
        found = await lateness.measure(address, 2, 100, 0.5, relay=True)
    assert (found["samples"], found["per_s"], found["errors"]) == (50, 100, 0)
    assert 0 < found["p50_ms"] <= found["max_ms"]
