"""Plain mode: only appended lines, no cursor movement, states in words."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from unit_tests.support.terminal import FakeTerminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROMPT = "Enter a command or its number:"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., FakeTerminal]]:
    running: list[FakeTerminal] = []

    def begin(**settings: Any) -> FakeTerminal:
        running.append(FakeTerminal("plain", tmp_path, env={"TERM": "dumb"}, **settings))
        running[-1].expect("3. exit")
        running[-1].until(lambda: running[-1].current == PROMPT)
        return running[-1]

    yield begin
    for terminal in running:
        terminal.close()


def test_the_dialogue_and_states_in_words(start: Callable[..., FakeTerminal]) -> None:
    terminal = start()
    for line, question in (("1", "recipient"), ("bob", "text"), ("hello", "command")):
        terminal.line(line)
        terminal.until(lambda asked=question: asked in terminal.current)  # type: ignore[misc]
    terminal.expect("Message 1 to bob: delivered.")
    terminal.line("/status")
    terminal.expect("delivered bob: hello")
    terminal.line("3")
    assert terminal.wait() == 0
    assert re.findall(rb"\x1b\[[0-9;?]*[A-Za-ln-z]", terminal.raw) == []
    assert b"\x1b" not in terminal.raw
    assert "✓" not in terminal.everything


def test_a_message_begins_on_its_own_line_and_the_question_is_repeated(
    start: Callable[..., FakeTerminal],
) -> None:
    terminal = start()
    terminal.send("half")
    terminal.until(lambda: terminal.current.endswith("half"))
    terminal.do("receive", text="first\nsecond \x1b[2J")
    terminal.expect("Message from bob: first")
    terminal.until(lambda: terminal.current == PROMPT)
    assert "  second ‹1B›[2J" in terminal.everything
    terminal.send("\x15")
    terminal.line("help")
    terminal.expect("/history NAME")


def test_a_terminal_that_is_stopped_does_not_keep_it(start: Callable[..., FakeTerminal]) -> None:
    terminal = start()
    terminal.send("\x13")  # Ctrl+S
    terminal.do("receive", text="nobody sees it")
    terminal.kill(signal.SIGTERM)
    assert terminal.wait() == 130


def test_ctrl_c_twice_leaves_and_ctrl_d_too(start: Callable[..., FakeTerminal]) -> None:
    terminal = start()
    terminal.send("\x03")
    terminal.expect("Ctrl+C again: leave.")
    terminal.send("\x03")
    assert terminal.wait() == 130


def test_ctrl_d_leaves(start: Callable[..., FakeTerminal]) -> None:
    terminal = start()
    terminal.send("\x04")
    assert terminal.wait() == 0
    assert "Disconnecting from the server..." in terminal.everything
