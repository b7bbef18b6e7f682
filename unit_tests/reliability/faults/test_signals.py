from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from reliability.faults import signals
from reliability.rig.ledger import Ledger

if TYPE_CHECKING:
    import pytest

LOG = """
2026-01-01 00:00:00,000 INFO connection finish closing 127.0.0.1 (anna/aaaa): idle
2026-01-01 00:00:00,000 INFO connection finish closing 127.0.0.1 (boris/bbbb): idle
2026-01-01 00:00:00,000 INFO connection finish closing 127.0.0.1 (anna/aaaa): quit
"""


def scene_with(ledger: Ledger) -> Any:
    server = SimpleNamespace(log_text=lambda: LOG)
    return cast("Any", SimpleNamespace(ledger=ledger, server=server))


def test_only_sessions_of_the_device_that_were_given_up_count() -> None:
    assert signals._given_up(scene_with(Ledger()), "aaaa") == 1
    assert signals._given_up(scene_with(Ledger()), "cccc") == 0


def test_somebody_else_who_has_to_wait_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    ledger.add_device("anna", "aaaa")
    ledger.add_device("boris", "bbbb")
    monkeypatch.setattr(ledger, "wait", lambda reached, _: reached())
    ledger.written("one", "boris", "bbbb", "anna", "")
    ledger.acked("one", 1, 1)
    signals._check_others(scene_with(ledger), "aaaa")
    assert ledger.strange == []
    signals._check_others(scene_with(ledger), "bbbb")
    assert len(ledger.strange) == 1
