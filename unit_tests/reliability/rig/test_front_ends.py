from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from reliability.history import Acked, Displayed, Failed
from reliability.rig.front_ends import FrontEnd, Kind
from reliability.rig.ledger import Ledger
from reliability.rig.programs import Ended, Program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEVICE = "dddd"


class Faked:
    """A program that says what it is told to say."""

    def __init__(self, status: int = 0) -> None:
        self.errors: list[str] = []
        self.status: int | None = None
        self.typed: list[str] = []
        self._end = status

    def say(self, line: str) -> bool:
        self.typed.append(line)
        return True

    def kill(self) -> int:
        self.status = -9
        return -9

    def wait(self) -> int:
        self.status = self._end
        return self._end

    stop = finish = wait

    def last_words(self) -> str:
        return "it is broken"


@pytest.fixture
def ledger() -> Ledger:
    ledger = Ledger()
    for name, device in (("anna", "aaaa"), ("boris", "bbbb"), ("dora", DEVICE)):
        ledger.add_device(name, device)
    return ledger


@pytest.fixture
def dora(tmp_path: Path, ledger: Ledger) -> FrontEnd:
    dora = FrontEnd("dora", tmp_path, ledger, ("127.0.0.1", 7777))
    dora.device = DEVICE
    store = tmp_path / "data" / "accounts" / "server" / "dora" / "store.db"
    store.parent.mkdir(parents=True)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(
            "CREATE TABLE messages (message_id INTEGER PRIMARY KEY, outgoing, device, text, state,"
            " seq, n, error_code)"
        )
    return dora


def keep(dora: FrontEnd, uid: str, state: str, device: str = DEVICE, code: str = "") -> None:
    """Put an outgoing message into the store."""
    path = next(dora.data_dir.glob("accounts/*/dora/store.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO messages (outgoing, device, text, state, seq, n, error_code)"
            " VALUES (1, ?, ?, ?, 7, 3, ?)",
            (device, f"{uid} text", state, code),
        )


def begin(dora: FrontEnd, kind: Kind, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> Faked:
    """Start a front end that is none."""
    made = Faked(status)
    for name in ("Program", "TerminalProgram"):
        monkeypatch.setattr(f"reliability.rig.front_ends.{name}", lambda *_, **__: made)
    dora.start(kind)
    return made


def show(dora: FrontEnd, *uids: str) -> None:
    for uid in uids:
        dora._take_line(f"Message from anna: {uid} text")


def displayed(ledger: Ledger) -> list[str]:
    return [event.uid for event in ledger.events(Displayed)]


def test_json_lines_are_read_with_their_place(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "json", monkeypatch)
    dora._take_line(json.dumps({"from": "anna", "text": "a-1 text", "seq": 4}))
    (event,) = ledger.events(Displayed)
    assert (event.device, event.uid, event.sender, event.seq) == (DEVICE, "a-1", "anna", 4)
    assert event.digest


def test_a_line_of_a_terminal_is_read_without_its_colours(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "line", monkeypatch)
    dora._take_line("\x1b[0m\x1b[?7l\x1b[0;1mMessage from anna (12:30): \x1b[0ma-1 text\x1b[?7h\r")
    (event,) = ledger.events(Displayed)
    assert (event.uid, event.sender, event.digest) == ("a-1", "anna", "")


def test_what_is_typed_is_not_shown(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = begin(dora, "plain", monkeypatch)
    dora.say("anna", 40)
    dora._take_line(f"Enter a command or its number: {program.typed[0]}")
    assert displayed(ledger) == []
    assert list(ledger.undecided) == ["dora-dddd-1"]


@pytest.mark.parametrize(
    ("kind", "again", "counted"),
    [
        ("pipe", ["m3"], []),
        ("pipe", ["m2", "m3"], ["m2", "m3"]),
        ("pipe", ["m4", "m3"], ["m4", "m3"]),
        ("pipe", ["m3", "m3"], ["m3"]),
        ("line", ["m2", "m3", "m4"], ["m4"]),
        ("line", ["m1", "m2", "m3"], []),
        ("line", ["m3", "m2"], ["m2"]),
        ("line", ["m1", "m3"], ["m3"]),
    ],
)
def test_only_what_a_kill_left_unnoted_may_be_shown_again(
    dora: FrontEnd,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    again: Sequence[str],
    counted: Sequence[str],
) -> None:
    begin(dora, cast("Kind", kind), monkeypatch)
    show(dora, "m1", "m2", "m3")
    dora.kill()
    begin(dora, "listen", monkeypatch)
    show(dora, *again)
    assert displayed(ledger) == ["m1", "m2", "m3", *counted]
    assert dora.repeats == len(again) - len(counted)


def test_nothing_is_shown_again_after_an_orderly_end(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "pipe", monkeypatch)
    show(dora, "m1")
    dora.quit()
    begin(dora, "pipe", monkeypatch)
    show(dora, "m1")
    assert displayed(ledger) == ["m1", "m1"]


def test_what_a_short_life_did_not_come_to_is_left_for_the_next(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "line", monkeypatch)
    show(dora, "m1", "m2", "m3")
    dora.kill()
    begin(dora, "pipe", monkeypatch)
    dora.quit()
    begin(dora, "pipe", monkeypatch)
    show(dora, "m1")
    dora.kill()
    begin(dora, "pipe", monkeypatch)
    show(dora, "m1", "m2", "m3", "m4")
    assert displayed(ledger) == ["m1", "m2", "m3", "m4"]


def test_what_is_missing_and_what_breaks_is_noticed(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = begin(dora, "pipe", monkeypatch)
    dora._take_line("! Messages are missing here from 2026-01-01 00:00 on.")
    program.errors.append("Traceback (most recent call last):")
    dora.quit()
    assert len(ledger.strange) == 2


def test_the_store_says_what_became_of_own_messages(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "pipe", monkeypatch)
    for _ in range(3):
        dora.say("anna", 40)
    keep(dora, "dora-dddd-1", "queued")
    keep(dora, "dora-dddd-2", "stored")
    keep(dora, "dora-dddd-3", "failed", code="too_long")
    ledger.written("copy", "dora", "cccc", "anna", "")
    keep(dora, "copy", "stored", device="cccc")
    dora.look()
    dora.look()
    assert [(event.uid, event.seq) for event in ledger.events(Acked)] == [("dora-dddd-2", 7)]
    assert [event.uid for event in ledger.events(Failed)] == ["dora-dddd-3"]
    assert displayed(ledger) == ["copy"]
    assert set(ledger.undecided) == {"dora-dddd-1", "copy"}


def test_one_message_under_two_numbers_is_noticed(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "pipe", monkeypatch)
    dora.say("anna", 40)
    keep(dora, "dora-dddd-1", "queued")
    dora.look()
    keep(dora, "dora-dddd-1", "queued")
    dora.look()
    assert len(ledger.strange) == 1


def test_what_was_typed_and_not_queued_is_sent_before_anything_else(
    dora: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "pipe", monkeypatch)
    dora.say("anna", 40)
    dora.say("boris", 40)
    keep(dora, "dora-dddd-1", "queued")
    dora.kill()
    sent: list[str] = []

    def run(*words: str) -> Program:
        sent.append(words[words.index("--id") + 1])
        keep(dora, sent[-1], "stored")
        return cast("Program", Faked())

    monkeypatch.setattr(dora, "_run", run)
    dora.send("anna", 40, killed_after_s=0.001)
    assert sent == ["dora-dddd-2", "dora-dddd-3", "dora-dddd-3"]


@pytest.mark.parametrize(("status", "found"), [(0, 1), (3, 0)])
def test_an_end_with_0_promises_that_everything_is_stored(
    dora: FrontEnd,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    found: int,
) -> None:
    begin(dora, "pipe", monkeypatch, status)
    dora.say("anna", 40)
    dora.quit()
    assert len(ledger.strange) == found


def test_a_send_that_only_says_so_is_noticed(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dora, "_run", lambda *_: Faked())
    dora.send("anna", 40)
    assert len(ledger.strange) == 1
    monkeypatch.setattr(dora, "_run", lambda *_: Faked(5))
    with pytest.raises(Ended, match="it is broken"):
        dora.send("anna", 40)
