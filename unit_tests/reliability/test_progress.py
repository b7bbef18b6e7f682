"""The progress line, in a log and on a terminal."""

from __future__ import annotations

import io
import sys
import time

import pytest

from reliability import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_is_written_over_and_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    line = progress.Progress(4_000, "runs")
    line.show(1_000, "0 failed")
    line.show(1_001)
    line.end()
    written = screen.getvalue()
    assert written.startswith("\r\x1b[K1,000 of 4,000 runs, ")
    assert written.count("of 4,000") == 1, "shown again too soon"
    assert written.endswith("0 failed\r\x1b[K")


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    now = [100.0]
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    line = progress.Progress(100, "runs")
    line.show(10)
    now[0] += progress.LOG_EVERY_S
    line.show(50)
    line.end()
    assert log.getvalue() == "50 of 100 runs, 30 s left\n"


def test_what_begins_is_said_at_once_and_how_it_goes_on_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    now = [100.0]
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress.Progress() as line:
        line.note("too soon")
        line.say("first")
        now[0] += 5.0
        line.say("second")
        line.note("too soon")
        now[0] += progress.LOG_EVERY_S
        line.note("going on")
        line.note("too soon again")
    assert log.getvalue() == "   0.0 s  first\n   5.0 s  second\n  35.0 s  going on\n"


def test_a_line_that_is_too_long_for_the_terminal_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "20")
    with progress.Progress() as line:
        line.say("a long story about nothing")
    assert screen.getvalue() == "\r\x1b[K   0.0 s  a long st\r\x1b[K"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_nothing_is_shown_if_it_is_to_be_quiet(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    screen = stream()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    with progress.Progress(10, "runs", quiet=True) as line:
        line.say("begin")
        line.note("go on")
        line.show(1)
    assert screen.getvalue() == ""
