from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.history import Acked, Cursor, Displayed, Failed, Told, Written
from reliability.rig import lines
from reliability.rig.ledger import Ledger
from reliability.rig.people import Person

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    ledger.add_device("boris", "bbbb")
    return ledger


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[lines.Command]:
    commands: list[lines.Command] = []
    monkeypatch.setattr(Person, "_tell", lambda _, command: commands.append(command))
    return commands


@pytest.fixture
def anna(tmp_path: Path, ledger: Ledger, told: list[lines.Command]) -> Person:
    assert told == []
    person = Person("anna", tmp_path, ledger, ("127.0.0.1", 7777))
    person.take(lines.Store("aaaa", 0, []))
    return person


def row(number: int, uid: str, state: str, *, mine: bool = True, seq: int = 0) -> lines.Row:
    return lines.Row(
        message_id=number,
        mine=mine,
        peer="boris",
        sender="anna" if mine else "boris",
        device="aaaa" if mine else "bbbb",
        n=seq,
        seq=seq,
        uid=uid,
        digest="d",
        state=state,
        code="too_long" if state == "failed" else "",
    )


def test_a_message_is_written_when_it_is_handed_over_and_acked_once(
    anna: Person, ledger: Ledger
) -> None:
    anna.write("one", "boris", 40)
    anna.take(lines.Change(row(1, "one", "queued")))
    assert list(ledger.undecided) == ["one"]
    anna.take(lines.Change(row(1, "one", "stored", seq=1)))
    anna.take(lines.Change(row(1, "one", "delivered", seq=1)))
    assert [event.uid for event in ledger.events(Written)] == ["one"]
    assert [(event.uid, event.seq) for event in ledger.events(Acked)] == [("one", 1)]
    assert ledger.unshown == {"one": {"bbbb"}}


def test_what_was_never_queued_is_handed_over_again_and_in_order(
    anna: Person, told: list[lines.Command]
) -> None:
    for uid in ("one", "two", "three"):
        anna.write(uid, "boris", 40)
    anna.take(lines.Change(row(1, "one", "queued")))
    told.clear()
    anna.take(lines.Store("aaaa", 0, [row(2, "two", "queued")]))
    assert told == [lines.Send("three", "boris", 40)]


def test_nothing_is_told_to_somebody_who_is_not_ready(
    tmp_path: Path, ledger: Ledger, told: list[lines.Command]
) -> None:
    ledger.add_device("anna", "aaaa")
    anna = Person("anna", tmp_path, ledger, ("127.0.0.1", 7777))
    anna.write("one", "boris", 40)
    assert told == []
    anna.take(lines.Store("aaaa", 0, []))
    assert told == [lines.Send("one", "boris", 40)]


def test_the_same_message_after_a_restart_is_the_same_showing(anna: Person, ledger: Ledger) -> None:
    anna.take(lines.Change(row(7, "theirs", "received", mine=False, seq=1)))
    anna.take(lines.Store("aaaa", 1, [row(7, "theirs", "received", mine=False, seq=1)]))
    assert len(ledger.events(Displayed)) == 1


@pytest.mark.parametrize(("number", "uid"), [(8, "theirs"), (7, "another")])
def test_another_number_or_another_message_is_a_showing_of_its_own(
    anna: Person, ledger: Ledger, number: int, uid: str
) -> None:
    anna.take(lines.Change(row(7, "theirs", "received", mine=False, seq=1)))
    anna.take(lines.Change(row(number, uid, "received", mine=False, seq=1)))
    assert [event.uid for event in ledger.events(Displayed)] == ["theirs", uid]


def test_a_tick_that_is_taken_back_is_noticed(anna: Person, ledger: Ledger) -> None:
    anna.write("one", "boris", 40)
    anna.take(lines.Change(row(1, "one", "stored", seq=1)))
    assert ledger.strange == []
    anna.take(lines.Change(row(1, "one", "queued")))
    assert "taken back" in ledger.strange[0]


def test_one_message_under_two_numbers_is_noticed(anna: Person, ledger: Ledger) -> None:
    anna.write("one", "boris", 40)
    anna.take(lines.Change(row(1, "one", "queued")))
    anna.take(lines.Change(row(2, "one", "queued")))
    assert "number 1 and 2" in ledger.strange[0]


def test_a_refusal_a_notice_and_the_cursor_are_kept(anna: Person, ledger: Ledger) -> None:
    anna.write("one", "boris", 40)
    anna.take(lines.Change(row(1, "one", "failed")))
    anna.take(lines.Notice("mailbox_full"))
    anna.take(lines.Store("aaaa", 5, []))
    assert [event.code for event in ledger.events(Failed)] == ["too_long"]
    assert [event.code for event in ledger.events(Told)] == ["mailbox_full"]
    assert [event.position for event in ledger.events(Cursor)] == [0, 5]
    assert ledger.owing == 0


def test_another_device_under_the_same_name_is_noticed(anna: Person, ledger: Ledger) -> None:
    anna.take(lines.Store("cccc", 0, []))
    assert ledger.strange == ["anna was aaaa and is cccc now"]


def test_what_a_store_has_lost_is_named(anna: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    anna.take(lines.Change(row(1, "kept", "received", mine=False, seq=1)))
    anna.take(lines.Change(row(2, "gone", "received", mine=False, seq=2)))
    left = lines.Store("aaaa", 2, [row(1, "kept", "received", mine=False, seq=1)])
    monkeypatch.setattr(anna, "look", lambda _: left)
    assert anna.missing_from_store() == ["gone"]
    assert anna.missing_from_store(after=2) == []
