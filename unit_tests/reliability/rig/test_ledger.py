from __future__ import annotations

from reliability.history import Acked, Displayed, Fault
from reliability.rig.ledger import Ledger


def shown(uid: str, device: str) -> Displayed:
    return Displayed(0.0, "boris", device, uid, "anna", 1)


def book() -> Ledger:
    ledger = Ledger()
    for name, device in (("anna", "a1"), ("boris", "b1"), ("boris", "b2")):
        ledger.add_device(name, device)
    ledger.written("one", "anna", "a1", "boris", "d")
    return ledger


def test_a_message_is_owed_until_it_is_decided_and_shown_by_every_device() -> None:
    ledger = book()
    ledger.acked("one", 1, 1)
    ledger.displayed(shown("one", "b1"))
    assert ledger.owing == 1
    assert ledger.unshown == {"one": {"b2"}}
    ledger.displayed(shown("one", "b2"))
    assert ledger.owing == 0


def test_what_is_shown_but_not_decided_is_owed() -> None:
    ledger = book()
    ledger.displayed(shown("one", "b1"))
    ledger.displayed(shown("one", "b2"))
    assert ledger.owing == 1


def test_a_refusal_owes_nothing_but_an_unknown_outcome_does() -> None:
    for code, owing in (("too_long", 0), ("unknown_outcome", 1)):
        ledger = book()
        ledger.failed("one", code)
        assert ledger.owing == owing


def test_a_tick_is_told_again_only_with_another_place() -> None:
    ledger = book()
    for seq in (1, 1, 2):
        ledger.acked("one", seq, 1)
    assert [event.seq for event in ledger.events(Acked)] == [1, 2]
    assert ledger.acks == 1


def test_waiting_ends_when_it_is_so_and_when_it_takes_too_long() -> None:
    ledger = book()
    assert ledger.wait(lambda: ledger.owing == 1, 1)
    assert not ledger.wait(lambda: ledger.owing == 0, 0.01)


def test_a_fault_that_did_not_fire_is_kept_as_such() -> None:
    ledger = book()
    ledger.fault("kill", "server", fired=False)
    assert [(event.kind, event.fired) for event in ledger.events(Fault)] == [("kill", False)]
