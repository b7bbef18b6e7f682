"""The fuzz targets catch planted bugs, and the fall-back driver is the same each time."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.client import sync
from jim.core.hub import Hub
from jim.errors import BadRequest
from jim.server.active import Active
from jim.server.handlers import mailbox
from reliability.hostile.fuzz import __main__ as program
from reliability.hostile.fuzz import driver
from reliability.hostile.fuzz import sync as sync_target
from reliability.hostile.fuzz.loop import VirtualLoop
from reliability.rig.programs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.core.link import Link
    from jim.core.model import Committed, Segment


def broken_by(target: str, run: Callable[[bytes], None] | None = None, runs: int = 4_000) -> str:
    failure = driver.fuzz(target, runs, run=run).failure
    assert failure is not None, "the planted bug was not caught"
    return failure.trace


# --- the client's decisions ---------------------------------------------------------------------


class SendsTooEarly(sync.Outbox):
    """Takes a row as released that is not durably so."""

    def _seal(self, free: int) -> sync.OutboxEffect:
        super()._seal(free)
        self._blocked -= 1
        row = self.rows[self._sent]
        return self._transmit(row, sync_target.payload_of(row.message_id, 0))


class ForgetsTheDevices(sync.Outbox):
    """Sends again what was sealed for devices that are others by now."""

    def _reseal(self) -> list[sync.OutboxEffect]:
        return self._rewind()


class ForgetsTheWindow(sync.Outbox):
    """Sends everything at once."""

    def queued(self, rows: object) -> list[sync.OutboxEffect]:
        self.window = 1_000
        return super().queued(rows)  # type: ignore[arg-type]


class ConfirmsAnything(sync.Outbox):
    """Takes any confirmation for that of the first message."""

    def stored(self, request_id: int, n: int, seq: int, time_ms: int) -> list[sync.OutboxEffect]:
        if not self.rows:
            return []
        self._sent = max(self._sent, 1)
        return [self._confirm(seq, time_ms)]


class SkipsAhead(sync.Inbox):
    """Takes a frame beyond a gap."""

    def frame(self, position: int) -> tuple[sync.Decision, list[sync.InboxEffect]]:
        if position > self.received:
            self.received = position
            return sync.Decision.KEEP, []
        return sync.Decision.DROP, []


class GoesBack(sync.Inbox):
    """Takes an old position for the newest."""

    def stored(self, position: int) -> list[sync.InboxEffect]:
        effects = super().stored(position)
        self.cursor = max(0, self.cursor - 1)
        return effects


class Raises(sync.Inbox):
    """Does not expect an answer that it did not ask for."""

    def answered(self) -> None:
        if not self._asking:
            raise LookupError
        super().answered()


@pytest.mark.parametrize(
    "planted", [SendsTooEarly, ForgetsTheDevices, ForgetsTheWindow, ConfirmsAnything]
)
def test_a_planted_bug_of_the_outbox_is_caught(planted: type[sync.Outbox]) -> None:
    broken_by("sync", lambda content: sync_target.run(content, outbox=planted))


@pytest.mark.parametrize("planted", [SkipsAhead, GoesBack, Raises])
def test_a_planted_bug_of_the_inbox_is_caught(planted: type[sync.Inbox]) -> None:
    broken_by("sync", lambda content: sync_target.run(content, inbox=planted))


def trip(*_: object) -> None:
    raise KeyError("planted")


# --- the server's sessions ----------------------------------------------------------------------


def test_an_unforeseen_error_of_a_handler_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "lookup_key", trip)
    assert "KeyError" in broken_by("session")


def test_a_request_without_an_answer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Active, "report", lambda _self, _error, _message: None)
    assert "has no answer" in broken_by("session")


def test_two_answers_to_one_request_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    committed = Hub.committed

    def twice(self: Hub, result: Committed) -> None:
        for answers in result.answers:
            answers.frames *= 2
        committed(self, result)

    monkeypatch.setattr(Hub, "committed", twice)
    assert "two replies" in broken_by("session")


def test_a_gap_in_a_mailbox_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def skip(link: Link, segment: Segment) -> None:
        if segment.first % 3:
            link.outlet.send(segment.frames)
        link.sent = segment.last

    monkeypatch.setattr(Hub, "_send_rest", staticmethod(skip))
    assert "position" in broken_by("session")


def test_a_message_for_somebody_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Hub._receive

    def leak(self: Hub, account_id: int, event: object) -> None:
        for other in list(self._accounts):
            if other != account_id and hasattr(event, "frames"):
                for link in self._accounts[other].links.values():
                    link.outlet.send(event.frames)
        honest(self, account_id, event)  # type: ignore[arg-type]

    monkeypatch.setattr(Hub, "_receive", leak)
    broken_by("session")


def test_an_error_outside_of_the_list_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BadRequest, "code", "who_knows")
    assert "the error who_knows" in broken_by("session")


# --- the driver ---------------------------------------------------------------------------------


def test_the_fall_back_makes_the_same_inputs_for_the_same_number() -> None:
    def inputs(seed: int) -> list[bytes]:
        seen: list[bytes] = []
        driver.fuzz("codec", 200, seed=seed, run=seen.append)
        return seen

    assert inputs(1) == inputs(1)
    assert inputs(1) != inputs(2)
    assert inputs(1)[: len(driver.load_seeds("codec"))] == driver.load_seeds("codec")


def test_a_failing_input_is_made_smaller() -> None:
    def run(content: bytes) -> None:
        assert not (b"\x01" in content and b"\x02" in content)

    failure = driver._shrunk(run, bytes(range(200)), "as found")
    assert failure.content == b"\x01\x02"
    assert "AssertionError" in failure.trace


def test_mutations_change_and_join_seeds() -> None:
    chance = random.Random(1)
    made = {driver.mutated(chance, [b"aaaa", b"bbbb"]) for _ in range(300)}
    assert len(made) > 250
    assert any(b"a" in each and b"b" in each for each in made)


def test_the_program_says_which_engine_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(driver, "has_atheris", lambda: False)
    assert program.main(["codec", "--runs", "100"]) == 0
    printed = capsys.readouterr().out
    assert "without coverage (atheris is not installed" in printed
    assert "100 runs" in printed


@pytest.mark.e2e
def test_the_best_engine_that_is_there_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reliability.hostile.fuzz", "codec", "--runs", "300"]
    done = subprocess.run(
        [*command, "--corpus", str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    said = "Done 300 runs" if driver.has_atheris() else "300 runs in"
    assert said in done.stdout + done.stderr


def test_the_program_prints_what_replays_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mailbox, "lookup_key", trip)
    assert program.main(["session", "--runs", "3000", "--engine", "mutation"]) == 1
    content = capsys.readouterr().out.split()[-1]
    with pytest.raises(Exception, match=r"unforeseen|internal"):
        program.main(["session", "--replay", content])
    monkeypatch.undo()
    assert program.main(["session", "--replay", content]) == 0


def test_the_loop_lets_time_pass_only_when_told_to() -> None:
    loop = VirtualLoop()
    seen: list[float] = []
    loop.call_later(5, lambda: seen.append(loop.time()))
    loop.turn(10)
    assert not seen
    loop.advance(5)
    assert seen == [5.0]
    loop.call_soon(trip)
    loop.turn()
    assert "KeyError" in loop.faults[0]
    loop.close()


def test_a_target_tells_once_what_it_came_to() -> None:
    """libFuzzer ends the process by itself, so nobody could tell afterwards."""
    told: list[driver.Outcome] = []
    run = driver.counting("codec", lambda _: None, 2, told.append)
    run(b"1")
    assert not told
    run(b"2")
    assert [(each.runs, each.failure) for each in told] == [(2, None)]


def test_a_target_tells_of_the_input_that_breaks_it() -> None:
    told: list[driver.Outcome] = []
    run = driver.counting("codec", trip, 9, told.append)
    with pytest.raises(KeyError):
        run(b"bad")
    (outcome,) = told
    assert outcome.runs == 1
    assert outcome.failure is not None
    assert outcome.failure.content == b"bad"
    assert "KeyError" in outcome.failure.trace


def test_the_program_writes_its_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "result.json"
    words = ["session", "--runs", "3000", "--engine", "mutation", "--json", str(file)]
    monkeypatch.setattr(mailbox, "lookup_key", trip)
    assert program.main(words) == 1
    result = json.loads(file.read_text())
    assert 0 < result["runs"] < 3000
    assert "KeyError" in result["failure"]["trace"]
