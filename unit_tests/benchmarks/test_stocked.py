from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import stocked, stocked_report
from benchmarks.stocking import Member
from benchmarks.workloads import summary, summed_up
from jim.core.model import Identity
from unit_tests.benchmarks.figures import late, rate
from unit_tests.benchmarks.runs import measured

if TYPE_CHECKING:
    from pathlib import Path


def store(messages: int, failures: dict[str, str] | None = None, **workloads: Any) -> Any:
    return {
        "messages": messages,
        "fill_s": 12.34,
        "disk_mib": 2870.4,
        "start_s": summary([0.25, 0.3, 0.5]),
        "rss_mib": 55.4,
        "workloads": workloads,
        "failures": failures or {},
    }


def test_every_tenth_message_waits_for_somebody_with_a_large_backlog() -> None:
    waiting = Counter(map(stocked.addressee, range(1_000_000)))
    deep = {stocked.deep(index) for index in range(stocked.PAIRS)}
    assert {waiting[name] for name in deep} == {2_000}
    assert {count for name, count in waiting.items() if name not in deep} == {900}
    assert len(waiting) == stocked.PAIRS + stocked.MAILBOXES


def test_what_is_posted_at_once_is_spread_over_the_mailboxes() -> None:
    at_once = Counter(map(stocked.addressee, range(stocked.POSTED_AT_ONCE)))
    assert max(at_once.values()) == 2


def test_a_sender_numbers_its_messages_without_gaps() -> None:
    senders = [Member(name, b"", b"", Identity(1, 1, name, "d")) for name in "ab"]
    found = [(sender.name, n) for sender, n, _, _ in stocked.waiting(senders, 5)]
    assert found == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]


def test_a_store_is_told_beside_the_first() -> None:
    first = store(0, w64=rate(200_000, 210_000, 180_000), latency=late(2.0))
    second = store(10_000_000, w64=rate(190_000), latency=late(3.0))
    text = stocked_report.text_of({"stores": [first, second]})
    assert "| messages waiting | 0 | 10,000,000 |" in text
    assert "messages/s | 200 k ±10 % | 190 k (×0.95) |" in text
    assert "| 2,000/s, p99, ms | 2.00 | 3.00 (×1.50) |" in text
    assert "| start, s | 0.30 ±67 % | 0.30 ±67 % |" in text
    assert "| on disk, MiB | 2,870 | 2,870 |" in text
    assert "window 1, messages/s | - | - |" in text


def test_what_went_wrong_is_told_with_its_store() -> None:
    away = summed_up([{"rate": 5.0, "lost": 0, "wrong": 4}])
    bad = store(100_000, {"w1": "no end after 61 s"}, away=away)
    assert stocked_report.complaints({"stores": [store(0), bad]}) == [
        "100,000 messages, away: 0 lost, 4 refused or out of order",
        "100,000 messages, w1: no end after 61 s",
    ]


def test_sizes_are_numbers_with_commas() -> None:
    assert stocked.sizes(stocked.MESSAGES) == [0, 1_000_000, 10_000_000]


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.usefixtures("flow_program")
def test_the_command_measures_stores_in_turn(tmp_path: Path) -> None:
    small = ("--messages", "0,2000", "--rounds", "1", "--seconds", "0.2", "--warm", "0.1")
    empty, full = measured("stocked", tmp_path, *small)["stores"]
    for found in (empty, full):
        for key in ("w64", "w1", "away"):
            assert found["workloads"][key]["rate"]["median"] > 0
        assert found["workloads"]["latency"]["p50_ms"]["median"] > 0
        assert found["start_s"]["median"] > 0
    assert (empty["messages"], full["messages"]) == (0, 2000)
    assert full["disk_mib"] > empty["disk_mib"]
