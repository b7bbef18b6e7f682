from __future__ import annotations

import contextlib
import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from reliability.faults import signals
from reliability.kernel import Held
from reliability.rig.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.mark.parametrize(("late", "found"), [(1, 1), (0, 0)])
def test_an_acknowledgement_of_a_frozen_server_is_noticed(
    monkeypatch: pytest.MonkeyPatch, late: int, found: int
) -> None:
    """Also one among many messages that are still undecided, but none that was on its way."""
    ledger = Ledger()
    ledger.add_device("anna", "aaaa")
    ledger.add_device("boris", "bbbb")
    for number in range(9):
        ledger.written(f"m{number}", "anna", "aaaa", "boris", "")
    waiting = ["m0"]

    def arrive(uids: list[str]) -> None:
        while uids:
            ledger.acked(uid := uids.pop(), 1, int(uid[1]) + 1)

    def held(_subnet: int, _port: int) -> dict[str, Held]:
        unread = {"anna": Held(0, 100 * len(waiting))}
        arrive(waiting)
        return unread

    def wait(_reached: Callable[[], bool], _timeout_s: float) -> bool:
        arrive([f"m{number}" for number in range(1, late + 1)])
        return False

    monkeypatch.setattr(signals, "frozen", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(signals, "held_for", held)
    monkeypatch.setattr(ledger, "wait", wait)
    synced: list[str] = []
    person = SimpleNamespace(name="anna", is_online=False, sync=lambda: synced.append("anna"))
    server = SimpleNamespace(pid=1, port=2)
    scene: Any = SimpleNamespace(
        ledger=ledger, server=server, people=[person], chance=random.Random(1)
    )
    assert signals._freeze_server(scene, 1) == "1 of 1 devices gave it up"
    assert synced == ["anna"]
    assert len(ledger.strange) == found
