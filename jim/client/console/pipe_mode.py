"""Pipe mode: standard input or output is no terminal. No prompts, no colours, one message a line.

Messages, and what the seed shows, go to standard output; problems, the server's fingerprint and the
recovery words to standard error. The program ends at `3` or the end of its input, and then with 0
only when every message it was given is stored on the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from jim.client.console import status, view
from jim.client.console.commands import Action
from jim.client.console.console import Console
from jim.client.console.dialogue import Dialogue, Run
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.client.console.session import on_signals, what_stays
from jim.client.console.streams import FLUSH_S, LineReader, Writer, is_thrown_away
from jim.client.console.view import Look
from jim.common.interrupts import run_loop
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jim.client.console.lines import Line
    from jim.client.console.session import Session
    from jim.client.console.streams import Then

LOOK: Final = Look(one_line=True, words=True)


class PipeScreen:
    """Writes lines to standard output and problems to standard error; a `Screen`."""

    def __init__(self, reader: LineReader) -> None:
        self._reader = reader
        self.out = Writer(sys.stdout.fileno())
        self._errors = Writer(sys.stderr.fileno())
        self._out_is_lost = is_thrown_away(sys.stdout.fileno())
        self._errors_are_lost = is_thrown_away(sys.stderr.fileno())

    @property
    def look(self) -> Look:
        """One line for each message, no breaking, no marks."""
        return LOOK

    def show(self, lines: Sequence[Line], then: Then | None = None) -> None:
        """Write to standard output; thrown away there, nothing has been shown."""
        self._write(self.out, lines, None if self._out_is_lost else then)

    def report(self, lines: Sequence[Line], then: Then | None = None) -> None:
        """Write to standard error, in the same way."""
        self._write(self._errors, lines, None if self._errors_are_lost else then)

    @staticmethod
    def _write(writer: Writer, lines: Sequence[Line], then: Then | None) -> None:
        writer.write("".join(f"{as_text(line)}\n" for line in lines), then)

    def refresh(self) -> None:
        """Show nothing: there is no status line."""

    def stop(self) -> None:
        """Wait for no more input."""
        self._reader.stop()

    async def flushed(self) -> None:
        """Wait until both streams are written."""
        await self.out.flushed()
        await self._errors.flushed()


class PipeMode:
    """A program at the other end of standard input or output."""

    def __init__(self, session: Session, reader: LineReader) -> None:
        self._session = session
        self._reader = reader
        self._screen = PipeScreen(reader)
        self._console = Console(self._screen, session, pipe=True)

    async def run(self) -> Exit:
        """Work until the input ends, a signal comes, or nobody reads the output any more."""
        self._screen.show(view.banner(*self._session.title, self._screen.look))
        self._console.start()
        working = asyncio.create_task(self._work())
        signalled = asyncio.Event()
        on_signals(signalled.set, signalled.set)
        waiting = asyncio.ensure_future(signalled.wait())
        ends: set[asyncio.Future[Any]] = {working, waiting, self._screen.out.broken}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._screen.out.broken.done():
            code = Exit.PIPE
        elif signalled.is_set():
            code = Exit.INTERRUPTED
        else:
            code = working.result()
            self._screen.show(view.disconnecting())
        working.cancel()
        await self._console.aclose()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._screen.flushed(), FLUSH_S)
        self._console.seen.close()
        return code

    async def _work(self) -> Exit:
        dialogue = Dialogue(literal=True)
        async for line in self._reader:
            intention = dialogue.feed(line, self._console.seen.names)
            if isinstance(intention, Run) and intention.action is Action.QUIT:
                break
            self._console.submit(intention)
        return await self._finish()

    async def _finish(self) -> Exit:
        """Wait for the first connection and for the own messages, at most `timeout_s` for both."""
        seen, deadline = self._console.seen, time.monotonic() + self._session.timeout_s
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(seen.settled.wait(), self._session.timeout_s)
        if seen.fatal is not None:
            return self._console.exit_code
        if not seen.settled.is_set():
            self._screen.report(status.lost(seen.link, LOOK))
        if not seen.greeted.is_set() and not self._console.unsent:
            return Exit.NO_CONNECTION  # said above; there is nothing to wait for
        stored = await self._console.flush(max(0.0, deadline - time.monotonic()))
        if stored or self._console.exit_code:
            return self._console.exit_code
        self._screen.report(what_stays(self._console))
        return Exit.NOT_IN_TIME if seen.greeted.is_set() else Exit.NO_CONNECTION


def run(make_session: Callable[[str], Session], name: str) -> int:
    """Run pipe mode to its end; the status to exit with.

    Without a name the first line of the input is the name: the answer to the seed's first question.
    """

    async def work() -> Exit:
        reader = LineReader(sys.stdin.fileno())
        given = name or (await reader.next() or "").strip()
        if not given:
            sys.stderr.write(_("No user name: give it with -n NAME.") + "\n")
            return Exit.USAGE
        return await PipeMode(make_session(given), reader).run()

    return run_loop(work())
