"""Line mode inside the test: what it does to the settings of the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import io
from typing import TYPE_CHECKING

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from jim.client.console.line_mode import LineMode
from unit_tests.support.fake_client import Fake, session_on
from unit_tests.support.serving import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prompt_toolkit.input import PipeInput


class Screen:
    """A terminal that is typed at and written to in memory, and that tells who unsettles it."""

    def __init__(self, keys: PipeInput, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys = keys
        self.written = io.StringIO()
        self.cooked = 0
        """How often it was in a mode in which it echoes by itself what is typed."""
        monkeypatch.setattr(keys, "cooked_mode", self._cook)

    @contextlib.contextmanager
    def _cook(self) -> Iterator[None]:
        self.cooked += 1
        yield


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    with create_pipe_input() as keys:
        made = Screen(keys, monkeypatch)
        output = Vt100_Output(made.written, lambda: Size(24, 80), term="xterm", enable_cpr=False)
        with create_app_session(input=keys, output=output):
            yield made


async def test_lines_above_the_prompt_never_let_the_terminal_echo(screen: Screen) -> None:
    """It did: what was typed in that moment stood at the beginning of the message's line."""
    fake = Fake()
    running = asyncio.create_task(LineMode(session_on(fake)).run())
    await until(lambda: "3. exit" in screen.written.getvalue())
    for number in range(3):
        await fake.do({"do": "receive", "text": f"number {number}"})
        await until(lambda n=number: f"number {n}" in screen.written.getvalue())  # type: ignore[misc]
    screen.keys.send_text("@bob hi\r")
    await until(lambda: "✓✓ bob: hi" in screen.written.getvalue())
    screen.keys.send_text("3\r")
    assert await running == 0
    assert screen.cooked == 0
