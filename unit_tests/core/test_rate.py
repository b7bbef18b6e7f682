from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.core import rate
from jim.core.limits import Limits
from jim.core.rate import Bucket, Claims, Paces

LIMITS = Limits(message_burst=2, messages_per_s=1.0, byte_burst=100, bytes_per_s=10)


def test_a_burst_costs_no_waiting() -> None:
    bucket = Bucket(burst=20, per_s=5)
    assert max(bucket.take(1, 100.0) for _ in range(20)) == pytest.approx(0.0, abs=1e-9)


def test_beyond_the_burst_each_unit_costs_its_time() -> None:
    bucket = Bucket(burst=20, per_s=5)
    bucket.take(20, 100.0)
    assert bucket.take(1, 100.0) == pytest.approx(0.2)
    assert bucket.take(4, 100.0) == pytest.approx(1.0)


def test_a_full_window_over_the_burst_takes_nine_seconds() -> None:
    assert Bucket(burst=20, per_s=5).take(64, 7.0) == pytest.approx(8.8)


def test_who_waited_as_told_does_not_wait_again_for_it() -> None:
    bucket = Bucket(burst=2, per_s=1)
    wait_s = bucket.take(5, 10.0)
    assert wait_s == pytest.approx(3.0)
    assert bucket.take(0, 10.0 + wait_s) == pytest.approx(0.0, abs=1e-9)
    assert bucket.take(1, 10.0 + wait_s) == pytest.approx(1.0)


def test_silence_fills_the_bucket_but_never_over_its_burst() -> None:
    bucket = Bucket(burst=3, per_s=1)
    bucket.take(3, 0.0)
    assert bucket.take(3, 1_000_000.0) == 0.0
    assert bucket.take(1, 1_000_000.0) == pytest.approx(1.0)


def test_a_rate_of_zero_means_no_limit() -> None:
    bucket = Bucket(burst=0, per_s=0)
    assert bucket.take(10**9, 0.0) == 0.0


def test_taking_nothing_never_costs() -> None:
    assert Bucket(burst=1, per_s=1).take(0, 5.0) == 0.0


@given(
    burst=st.integers(1, 100),
    per_s=st.integers(1, 100),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(0, 20)), min_size=1, max_size=60),
)
def test_whoever_obeys_never_exceeds_burst_plus_rate(
    burst: int, per_s: int, steps: list[tuple[float, int]]
) -> None:
    bucket, now_s, sent = Bucket(burst, per_s), 0.0, 0
    for pause_s, units in steps:
        now_s += pause_s
        before = sent
        sent += units
        now_s += bucket.take(units, now_s)
        # At the end of the wait everything taken is paid for: the burst is full of it at most.
        assert before <= sent <= burst + per_s * now_s + 1e-6


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 10)), min_size=1, max_size=50))
def test_the_wait_grows_with_what_is_taken(steps: list[tuple[float, int]]) -> None:
    small, large, now_s = Bucket(5, 2), Bucket(5, 2), 0.0
    for pause_s, units in steps:
        now_s += pause_s
        assert small.take(units, now_s) <= large.take(units + 1, now_s)


def test_a_device_that_comes_back_still_owes_what_it_owed() -> None:
    paces = Paces()
    pace = paces.take_up(1, LIMITS)
    assert pace.take(5, 300, 10.0) == pytest.approx(20.0), "the longer of the two waits"
    paces.put_down(1, pace, 10.0)
    assert paces.take_up(2, LIMITS).take(1, 1, 10.0) == 0.0, "others do not pay for it"
    back = paces.take_up(1, LIMITS)
    assert back.take(0, 0, 12.0) == pytest.approx(18.0)
    assert len(paces) == 0


def test_only_debts_are_kept_and_not_longer_than_they_last() -> None:
    paces = Paces()
    paces.put_down(1, paces.take_up(1, LIMITS), 10.0)
    assert len(paces) == 0
    for device_id, messages in ((1, 1), (2, 5)):
        pace = paces.take_up(device_id, LIMITS)
        pace.take(messages, 0, 10.0)
        paces.put_down(device_id, pace, 10.0)
    assert len(paces) == 2
    paces.sweep(12.0)
    assert len(paces) == 1
    paces.sweep(15.0)
    assert len(paces) == 0


def test_debts_are_bounded_and_the_first_noted_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate, "MAX_DEBTS", 3)
    paces = Paces()
    for device_id in range(5):
        pace = paces.take_up(device_id, LIMITS)
        pace.take(10, 0, 0.0)
        paces.put_down(device_id, pace, 0.0)
    assert len(paces) == 3
    assert paces.take_up(1, LIMITS).take(0, 0, 0.0) == 0.0
    assert paces.take_up(4, LIMITS).take(0, 0, 0.0) > 0.0


# --- claims ---------------------------------------------------------------------------------------


def test_so_many_claims_a_minute_of_one_account_on_one_device() -> None:
    claims = Claims()
    assert [claims.take(1, [7], 3, now_s) for now_s in (100.0, 110.0, 120.0)] == [0, 0, 0]
    assert claims.take(1, [7], 3, 130.0) == pytest.approx(30.0)
    assert claims.take(2, [7], 3, 130.0) == 0, "another account"
    assert claims.take(1, [8], 3, 130.0) == 0, "another device"
    assert claims.take(1, [7], 3, 160.0) == 0, "the next minute"


def test_a_claim_on_several_devices_counts_for_all_or_for_none() -> None:
    claims = Claims()
    assert claims.take(1, [7], 1, 0.0) == 0
    assert claims.take(1, [7, 8], 1, 10.0) == pytest.approx(50.0)
    assert claims.take(1, [8], 1, 10.0) == 0, "it was not counted"


def test_claims_are_forgotten_when_their_minute_is_over_and_before_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claims = Claims()
    claims.take(1, [7], 1, 0.0)
    claims.take(1, [8], 1, 50.0)
    claims.sweep(60.0)
    assert len(claims) == 1
    monkeypatch.setattr(rate, "MAX_CLAIMS", 3)
    for device in range(20, 30):
        claims.take(1, [device], 1, 70.0)
    assert len(claims) == 3
    assert claims.take(1, [29], 1, 70.0) > 0, "the latest is still counted"
