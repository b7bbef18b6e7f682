"""The progress line, in a log and on a terminal."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING

from reliability import progress

if TYPE_CHECKING:
    import pytest


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
