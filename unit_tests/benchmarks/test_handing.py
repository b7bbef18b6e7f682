from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import handing
from benchmarks.handing import PEERS, Link
from unit_tests.benchmarks.runs import measured

if TYPE_CHECKING:
    from pathlib import Path


def test_the_new_device_has_the_same_history_in_the_same_order(tmp_path: Path) -> None:
    link = Link(tmp_path, 200)
    link.hand_over()
    assert link.done == 200
    for peer in (f"peer{index}" for index in range(PEERS)):
        kept, given = (
            [(each.text, each.outgoing) for each in store.history(peer, None, 200)]
            for store in (link.new.store, link.old.store)
        )
        assert kept == given
        assert len(kept) == 200 / PEERS
        assert min(len(text) for text, _ in kept) == 100
    # A part less the end, and never as few bytes as the texts have.
    assert len(link.taking) > 2
    assert link.wire_bytes > 200 * 100


def test_what_has_not_arrived_is_a_complaint() -> None:
    assert handing.complaints({"messages": 10, "arrived": 10}) == []
    assert handing.complaints({"messages": 10_000, "arrived": 9_999}) == [
        "9,999 of 10,000 messages have arrived"
    ]


@pytest.mark.e2e
def test_the_command_hands_a_history_over(tmp_path: Path) -> None:
    found = measured("linking", tmp_path, "--quick")
    assert found["arrived"] == found["messages"]
    assert found["paced_s"] > 0
    assert min(found["old"]["cpu_s"], found["new"]["cpu_s"]) > 0
