# long module: one suite for the lives of front ends
from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from reliability.history import Acked, Displayed, Failed
from reliability.rig.front_ends import Front, FrontEnd
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
        self.status = -9 if self.status is None else self.status
        return self.status

    def wait(self) -> int:
        self.status = self._end
        return self._end

    finish = wait

    def signal(self, number: int) -> None:
        self.typed.append(str(number))

    def ends_within(self, timeout_s: float) -> bool:
        assert timeout_s > 0
        return self.typed.count(self.typed[-1]) > 1

    def narrow(self, size_bytes: int) -> None:
        assert size_bytes > 0

    def stall(self) -> None:
        self.typed.append("stalled")

    def read_on(self) -> None:
        self.typed.append("read on")

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
    dora.device = dora._own.device = DEVICE
    store = tmp_path / "data" / "accounts" / "server" / "dora" / "store.db"
    store.parent.mkdir(parents=True)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(
            "CREATE TABLE messages (message_id INTEGER PRIMARY KEY, outgoing, device, text, state,"
            " seq, n, error_code, kind DEFAULT 'text')"
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


def begin(dora: FrontEnd, front: Front, monkeypatch: pytest.MonkeyPatch, status: int = 0) -> Faked:
    """Start a front end that is none."""
    made = Faked(status)
    for name in ("Program", "TerminalProgram"):
        monkeypatch.setattr(f"reliability.rig.front_ends.{name}", lambda *_, **__: made)
    dora.start(front)
    return made


def show(dora: FrontEnd, *uids: str) -> None:
    for uid in uids:
        dora._take_line(f"Message from anna: {uid} text")


def draw(dora: FrontEnd, *uids: str) -> None:
    """Show messages as line mode does, in one go above the prompt."""
    before = "\x1b[0mEnter a command or its number:\x1b[J"
    for uid in uids:
        dora._take_line(f"{before}Message from anna: {uid} text")
        before = ""


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
    ("front", "again", "counted"),
    [
        ("pipe", ["m3"], []),
        ("pipe", ["m2", "m3"], ["m2", "m3"]),
        ("pipe", ["m4", "m3"], ["m4", "m3"]),
        ("pipe", ["m3", "m3"], ["m3"]),
        ("line", ["m2", "m3", "m4"], ["m4"]),
        ("line", ["m1", "m2", "m3"], ["m1", "m2", "m3"]),
        ("line", ["m3", "m2"], ["m2"]),
        ("line", ["m2", "m4", "m3"], ["m4", "m3"]),
    ],
)
def test_only_what_a_kill_left_unnoted_may_be_shown_again(
    dora: FrontEnd,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    front: str,
    again: Sequence[str],
    counted: Sequence[str],
) -> None:
    begin(dora, cast("Front", front), monkeypatch)
    if front == "line":
        draw(dora, "m1")
        draw(dora, "m2", "m3")
    else:
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
    draw(dora, "m1", "m2", "m3")
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
    assert ledger.strange == []


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


@pytest.mark.parametrize(
    ("front", "state", "found"),
    [
        ("pipe", "stored", 0),
        ("pipe", "queued", 1),
        ("pipe", "", 1),
        ("line", "queued", 0),
        ("line", "", 1),
    ],
)
def test_an_orderly_end_promises_what_the_manual_says(
    dora: FrontEnd,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    front: str,
    state: str,
    found: int,
) -> None:
    begin(dora, cast("Front", front), monkeypatch)
    dora.say("anna", 40)
    if state:
        keep(dora, "dora-dddd-1", state)
    dora.quit()
    assert len(ledger.strange) == found
    assert (dora.typed, dora.queued) == (1, bool(state))


@pytest.mark.parametrize(
    ("front", "number", "status", "shown", "found"),
    [
        ("pipe", None, 0, 0, 0),
        ("pipe", None, 3, 0, 1),
        ("pipe", signal.SIGHUP, 130, 1, 0),
        ("pipe", signal.SIGHUP, -1, 0, 0),
        ("pipe", signal.SIGHUP, -1, 1, 1),
        ("listen", None, 130, 1, 0),
        ("listen", None, 0, 1, 1),
        ("count", None, 0, 1, 0),
        ("plain", None, 1, 0, 1),
    ],
)
def test_every_end_has_its_status(
    dora: FrontEnd,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    front: str,
    number: signal.Signals | None,
    status: int,
    shown: int,
    found: int,
) -> None:
    program = begin(dora, cast("Front", front), monkeypatch, status)
    dora._life.extend(["m1"] * shown)
    dora.quit(number)
    assert len(ledger.strange) == found
    if number is not None:  # pressed again at one that has shown nothing yet
        assert program.typed == [str(int(number))] * (1 if shown else 2)


@pytest.mark.parametrize(("front", "status", "found"), [("count", 0, 0), ("listen", 1, 1)])
def test_what_has_ended_by_itself_was_not_killed(
    dora: FrontEnd,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    front: str,
    status: int,
    found: int,
) -> None:
    program = begin(dora, cast("Front", front), monkeypatch)
    dora._take_shown("anna", "m1 text")
    program.status = status
    assert dora.kill() == status
    assert len(ledger.strange) == found
    begin(dora, "listen", monkeypatch)
    show(dora, "m1")
    assert displayed(ledger) == ["m1", "m1"]


def test_one_who_is_stalled_may_leave_its_last_message(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = begin(dora, "listen", monkeypatch, 130)
    show(dora, "m1", "m2")
    dora.stall()
    dora.quit()
    assert program.typed == ["stalled", str(int(signal.SIGTERM))]
    begin(dora, "listen", monkeypatch, 130)
    show(dora, "m2", "m3")
    dora.quit()
    begin(dora, "listen", monkeypatch)
    show(dora, "m3")
    assert displayed(ledger) == ["m1", "m2", "m3", "m3"]


def test_a_line_that_is_no_json_is_noticed(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "json", monkeypatch)
    for line in ('{"from":"anna"}{"from":', "[]", '{"from":"anna"}'):
        dora._take_line(line)
    assert len(ledger.strange) == 3


def test_a_decision_that_is_taken_back_is_noticed(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(dora, "pipe", monkeypatch)
    dora.say("anna", 40)
    keep(dora, "dora-dddd-1", "stored")
    dora.look()
    path = next(dora.data_dir.glob("accounts/*/dora/store.db"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE messages SET state = 'queued'")
    dora.quit()
    assert "taken back" in ledger.strange[0]


def test_a_send_that_only_says_so_is_noticed(
    dora: FrontEnd, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dora, "_run", lambda *_: Faked())
    dora.send("anna", 40)
    assert len(ledger.strange) == 1
    monkeypatch.setattr(dora, "_run", lambda *_: Faked(5))
    with pytest.raises(Ended, match="it is broken"):
        dora.send("anna", 40)
    dora.begin_send("anna", 40)
    with pytest.raises(Ended, match="it is broken"):
        dora.end_send()
