"""Plain mode: for dumb terminals and screen readers. Only appended lines, states in words.

The terminal itself edits the line (cooked mode), so nothing here moves the cursor. What arrives
while somebody types begins on a line of its own, and the question is asked again below it; Ctrl+R
of the terminal shows again what had been typed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Final

from jim.client.console.commands import Action
from jim.client.console.console import Console
from jim.client.console.dialogue import Dialogue, Run, Stage
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text, line
from jim.client.console.session import leave, on_signals
from jim.client.console.streams import FLUSH_S, LineReader, Writer
from jim.client.console.view import Look, banner
from jim.common.interrupts import run_loop
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.console.lines import Line
    from jim.client.console.session import Session
    from jim.client.console.streams import Then

LOOK: Final = Look(words=True)
ANSWER_S: Final = 0.3
"""The next question waits so long for the answer to a command."""

TWICE_S: Final = 2.0
"""A second Ctrl+C within this time leaves."""


class PlainScreen:
    """Appends lines and repeats the question below them; a `Screen`."""

    def __init__(self, reader: LineReader) -> None:
        self._reader = reader
        self.out = Writer(sys.stdout.fileno())
        self._prompt = ""

    @property
    def look(self) -> Look:
        """Words, and lines broken by the terminal alone: a reader gets whole sentences."""
        return LOOK

    def ask(self, prompt: str) -> None:
        """Show the question that the next line answers."""
        self._prompt = prompt
        self.out.write(prompt)

    def answered(self) -> None:
        """Note that the line with the question has been ended by Enter."""
        self._prompt = ""

    def show(self, lines: Sequence[Line], then: Then | None = None) -> None:
        """Append lines; an open question is asked again after them."""
        if lines:
            text = "".join(f"{as_text(each)}\n" for each in lines)
            self.out.write(f"\n{text}{self._prompt}" if self._prompt else text, then)

    report = show

    async def flushed(self) -> None:
        """Wait until everything is written."""
        await self.out.flushed()

    def refresh(self) -> None:
        """Show nothing: there is no status line."""

    def stop(self) -> None:
        """Wait for no more input."""
        self._reader.stop()


class PlainMode:
    """One person at a terminal that can only append."""

    def __init__(self, session: Session, reader: LineReader) -> None:
        self._session = session
        self._reader = reader
        self._screen = PlainScreen(reader)
        self._console = Console(self._screen, session)
        self._dialogue = Dialogue(asking=lambda: self._console.seen.questions.are_likely)
        self._interrupted_at = float("-inf")
        self._interrupted = False

    async def run(self) -> Exit:
        """Talk until the person leaves or the client has stopped for good."""
        self._screen.show(banner(*self._session.title, self._screen.look))
        on_signals(self._interrupt, self._end)
        self._console.start()
        with contextlib.suppress(TimeoutError):  # so that the first screen reads in order
            await asyncio.wait_for(self._console.seen.settled.wait(), 1)
        await self._talk()
        self._screen.answered()
        code = await leave(self._console)
        with contextlib.suppress(TimeoutError):  # a terminal that was stopped takes nothing
            await asyncio.wait_for(self._screen.flushed(), FLUSH_S)
        self._console.seen.close()
        return Exit.INTERRUPTED if self._interrupted else code

    async def _talk(self) -> None:
        while self._console.seen.fatal is None:
            self._screen.ask(self._dialogue.prompt)
            text = await self._reader.next()
            self._screen.answered()
            if text is None:
                self._screen.out.write("\n")
                return
            if not text and self._dialogue.stage is Stage.COMMAND:
                self._retry()
            intention = self._dialogue.feed(text, self._console.seen.names)
            if isinstance(intention, Run) and intention.action is Action.QUIT:
                return
            running = self._console.submit(intention)
            if running is not None:  # so that the answer comes before the next question
                await asyncio.wait({running}, timeout=ANSWER_S)

    def _retry(self) -> None:
        if self._console.client is not None and self._console.seen.link.state == "waiting":
            self._console.client.retry_now()

    def _interrupt(self) -> None:
        """Ctrl+C gives up a dialogue; twice within `TWICE_S` it ends the session."""
        now = time.monotonic()
        if now - self._interrupted_at < TWICE_S:
            self._end()
            return
        self._interrupted_at = now
        self._dialogue.reset()
        self._screen.answered()
        self._screen.show([(), line(_("Ctrl+C again: leave."))])
        self._screen.ask(self._dialogue.prompt)

    def _end(self) -> None:
        self._interrupted = True
        self._console.hurry()
        self._reader.stop()


def run(session: Session) -> int:
    """Run plain mode to its end; the status to exit with."""

    async def work() -> Exit:
        return await PlainMode(session, LineReader(sys.stdin.fileno())).run()

    return run_loop(work())
