from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.server import node

if TYPE_CHECKING:
    import pytest

YEAR_NS = 365 * 24 * 3600 * 10**9


def test_the_steady_clock_is_right_at_first_and_not_moved_by_who_sets_the_other_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steady = node.SteadyClock()
    assert abs(steady.now_ms() - node.now_ms()) < 1_000
    real, monotonic = time.time_ns, time.monotonic
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10 * YEAR_NS)
    assert node.now_ms() - steady.now_ms() > 9 * YEAR_NS // 10**6
    before_ms = steady.now_ms()
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 5)
    assert 5_000 <= steady.now_ms() - before_ms < 6_000
