"""Line mode: a prompt with history, completion and a status line; everything else scrolls above it.

Built on prompt_toolkit, which only this module and `line_input` name. Lines that arrive while
somebody types are gathered for a moment and printed in one go above the prompt, which stays whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from prompt_toolkit.application.current import set_app
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.renderer import print_formatted_text

from jim.client.console import status, trust_view
from jim.client.console.commands import Action
from jim.client.console.console import Console
from jim.client.console.dialogue import Dialogue, Run
from jim.client.console.explain import Exit
from jim.client.console.line_input import STYLE, LineInput
from jim.client.console.lines import Span, Style
from jim.client.console.session import leave, on_signals
from jim.client.console.text import safe_block
from jim.client.console.view import Look, banner
from jim.common.exits import write_out
from jim.common.interrupts import run_loop
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.console.lines import Line
    from jim.client.console.session import Session
    from jim.client.console.streams import Then

GATHER_S: Final = 0.02
"""Lines are gathered this long before the prompt is redrawn: a burst costs one redraw, and nobody
notices 20 ms."""

TWICE_S: Final = 2.0
"""A second Ctrl+C within this time leaves."""

TICK_S: Final = 0.25
"""How often the status line is compared with the clock; it is redrawn only when it has changed."""

MINIMUM_WIDTH: Final = 20
_NEWLINE: Final = Span("\n")


class LineScreen:
    """Prints above the prompt; a `Screen`."""

    def __init__(self, source: LineInput) -> None:
        self._source = source
        self._waiting: list[Line] = []
        self._thens: list[Then] = []
        self._printing: asyncio.Task[None] | None = None

    @property
    def look(self) -> Look:
        """Marks, broken at the width that the terminal has now."""
        return Look(width=max(MINIMUM_WIDTH, self._source.app.output.get_size().columns))

    def show(self, lines: Sequence[Line], then: Then | None = None) -> None:
        """Print the lines above the prompt, soon."""
        self._waiting.extend(lines)
        if then is not None:
            self._thens.append(then)
        if self._printing is None or self._printing.done():
            self._printing = asyncio.create_task(self._print_soon())

    report = show

    def refresh(self) -> None:
        """Draw the status line again."""
        self._source.refresh()

    def stop(self) -> None:
        """End the prompt."""
        self._source.stop()

    async def flushed(self) -> None:
        """Wait until everything is printed."""
        while self._printing is not None and not self._printing.done():
            await self._printing

    async def _print_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            app = self._source.app
            if app.is_running and app.output.responds_to_cpr:
                # An answer to come would tell the renderer about a row that is none any more.
                await app.renderer.wait_for_cpr_responses()
            try:
                self._print()
            except OSError:  # the terminal is gone: nobody has seen it
                self._waiting.clear()
                self._thens.clear()

    def _print(self) -> None:
        """Print what is waiting in one go.

        `run_in_terminal` would do it too, and so would the `print_formatted_text` of the shortcuts
        behind our back, but it leaves raw mode meanwhile: what is typed in that moment would be
        echoed between the lines.
        """
        app = self._source.app
        if not app.is_running or app.is_done:
            self._write()
            return
        app.renderer.erase()
        self._write()
        app.renderer.reset()
        with set_app(app):
            app.renderer.request_absolute_cursor_position()
        app._redraw()  # noqa: SLF001 - as prompt_toolkit's own in_terminal does

    def _write(self) -> None:
        lines, self._waiting = self._waiting, []
        fragments = [
            (f"class:{span.style.value}", span.text) for line in lines for span in (*line, _NEWLINE)
        ]
        print_formatted_text(
            self._source.app.output,
            FormattedText(fragments),
            STYLE,
            color_depth=self._source.depth,
        )
        thens, self._thens = self._thens, []
        for then in thens:
            then()


class LineMode:
    """One person at one terminal."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._dialogue = Dialogue(asking=lambda: self._console.seen.questions.are_likely)
        self._input = LineInput(
            colours=session.colours,
            prompt=lambda: self._dialogue.prompt,
            stage=lambda: self._dialogue.stage,
            names=lambda: sorted(self._console.seen.names),
            devices=lambda: [(each.id, each.name) for each in self._console.seen.devices],
            status=self._status,
            on_line=self._take,
            on_interrupt=self._interrupted,
            on_empty=self._retry,
        )
        self._screen = LineScreen(self._input)
        self._console = Console(self._screen, session)
        self._interrupted_at = float("-inf")
        self._signalled = False

    async def run(self) -> Exit:
        """Talk until the person leaves or the client has stopped for good."""
        with patch_stdout(raw=False):
            self._screen.show(banner(*self._session.title, self._screen.look))
            await self._screen.flushed()
            ticking = asyncio.create_task(self._tick())
            interrupted = await self._talk()
            ticking.cancel()
            await self._screen.flushed()
        try:
            code = await leave(self._console)
        finally:
            await self._screen.flushed()
            self._console.seen.close()
        return Exit.INTERRUPTED if interrupted else code

    async def _talk(self) -> bool:
        """Read lines until the end; say whether it was an interruption."""

        def ready() -> None:
            on_signals(self._signal, self._signal)
            self._console.start()

        try:
            await self._input.run(ready)
        except EOFError:
            return False
        except (KeyboardInterrupt, OSError):  # an error of the terminal: it is gone
            return True
        return self._signalled

    def _take(self, shown: str, text: str) -> None:
        """Take an accepted line: repeat it above, where it stays, and do what it says."""
        first, *rest = safe_block(shown).split("\n")
        echo = [(Span(self._dialogue.prompt), Span(first)), *((Span(part),) for part in rest)]
        self._screen.show(echo)
        intention = self._dialogue.feed(text, self._console.seen.names)
        if isinstance(intention, Run) and intention.action is Action.QUIT:
            self._input.stop()
        else:
            self._console.submit(intention)

    def _interrupted(self) -> bool:
        """Ctrl+C gives up a dialogue; twice within `TWICE_S` it ends the session."""
        now = time.monotonic()
        again = now - self._interrupted_at < TWICE_S
        self._interrupted_at = now
        if self._dialogue.reset():
            self._screen.show([(Span(_("Nothing was sent."), Style.DIM),)])
        return again

    def _retry(self) -> None:
        """Enter on an empty line: connect now, if there is no connection."""
        if self._console.client is not None and self._console.seen.link.state == "waiting":
            self._console.client.retry_now()

    def _signal(self) -> None:
        self._signalled = True
        self._console.hurry()
        self._input.stop()

    def _status(self, width: int) -> str:
        now = time.monotonic()
        if now - self._interrupted_at < TWICE_S:
            return _(" Ctrl+C again: leave ")
        seen = self._console.seen
        last = seen.own.last()
        word = "" if last is None else trust_view.protection_of(last, seen.protection)
        return status.bar(seen.link, now, seen.own.queued, last, width, word)

    async def _tick(self) -> None:
        """Keep the countdown and the remark about Ctrl+C true."""
        shown = ""
        while True:
            await asyncio.sleep(TICK_S)
            now = self._status(self._screen.look.width)
            if now != shown:
                shown = now
                self._input.refresh()


def run(session: Session) -> int:
    """Run line mode to its end; the status to exit with."""
    status = Exit.INTERRUPTED
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        status = run_loop(LineMode(session).run())
    # What a terminal that is gone did not take lies in the buffer, for the interpreter to fail at.
    return status if write_out() else Exit.INTERRUPTED
