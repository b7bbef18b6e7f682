"""`jim link NAME [ADDRESS]`: this machine becomes a further device of an account that has others.

It shows a code, waits until somebody has typed it on one of them, and then for the history.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Final

from jim.client import events
from jim.client.cli.accounts import parse_target, pinned, say_how_to_talk
from jim.client.cli.output import columns, complain, put
from jim.client.cli.work import run_client
from jim.client.console import newcomer, view
from jim.client.console.explain import Exit, explain
from jim.client.console.lines import as_text
from jim.client.console.text import safe_line
from jim.client.console.view import Look
from jim.common.interrupts import on_end, run_loop
from jim.errors import JimError
from jim.i18n import _, current_language

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client
    from jim.client.joining import Wish
    from jim.client.linking import Joined
    from jim.crypto.link_code import LinkCode

SILENT_S: Final = 60.0
"""So long nothing may come of the history before it is not waited for any longer: the other device
tries again after 30 s at most when its connection is lost (policy.MAX_DELAY_S)."""

INTRODUCED_S: Final = 5.0
"""To tell the other devices what this one is called: far more than that takes on a connection which
has just carried the history. Otherwise it is told when the client is next started."""

SECOND_S: Final = 1.0


def run(options: argparse.Namespace) -> int:
    """Link this machine, or with --approve take another one in.

    Raises:
        JimError: the account is here already, the server or the store is of no use.
    """
    if options.approve:
        from jim.client.cli import approve

        return approve.run(options)
    if not options.to:
        complain(_("Which account? On this new machine: jim link NAME [SERVER]"))
        return Exit.USAGE
    target = parse_target(options.address or options.server or os.environ.get("JIM_SERVER"))
    from jim.client import Client
    from jim.client.joining import Wish

    wish = Wish(
        address=target.address,
        name=options.to,
        data_dir=options.data_dir,
        invite=pinned(options, target),
        ca_file=options.ca_file,
        language=current_language(),
    )
    try:
        joined = _join(wish, options.timeout)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal is gone
            complain(_("Nothing is lost: the same command goes on, with a new code."))
        raise
    if joined is None:
        complain(_("Nobody has typed the code in time. The same command goes on later."))
        return Exit.NOT_IN_TIME
    look = Look(width=_width())
    for shown in newcomer.linked(joined.confirmation, look, here=True):
        put(as_text(shown))

    def make() -> Client:
        return Client(wish.address, wish.name, data_dir=wish.data_dir, ca_file=wish.ca_file)

    status = run_client(make, lambda client, stream: _take_history(client, stream, options.timeout))
    if status == Exit.OK:
        say_how_to_talk(wish.address, wish.name)
    return status


def _width() -> int:
    """Give the width to break lines at, 0 where nobody looks."""
    return columns(sys.stderr)


# --- waiting --------------------------------------------------------------------------------------


def _join(wish: Wish, timeout_s: float | None) -> Joined | None:
    from jim import log_config
    from jim.client.joining import join

    async def work() -> Joined | None:
        screen = _Screen(wish.name)
        joining = asyncio.ensure_future(join(wish, screen))
        on_end(joining.cancel)
        try:
            async with asyncio.timeout(timeout_s):
                return await joining
        except TimeoutError:
            return None
        finally:
            screen.end()

    with log_config.configure("client"):
        try:
            return run_loop(work())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


class _Screen:
    """Shows the code, and on a terminal for how long it is good; a `Waiting`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._look = Look(width=_width())
        self._clock = _Line()
        self._counting: asyncio.Task[None] | None = None
        self._shown = ""

    def met(self, contact: events.FirstContact) -> None:
        self._say(*map(as_text, view.first_contact(contact, self._look)))

    def show(self, code: LinkCode, expires_s: int) -> None:
        self._count(expires_s)
        if code.text == self._shown:
            self._say(_("Connected again; the code is still good."))
            return
        self._shown = code.text
        intro = _("To take this device in, type on another device of {name}, in jim:")
        self._paragraph(intro.format(name=safe_line(self._name)))
        put(f"/link {code.shown}" if sys.stdout.isatty() else code.shown)
        self._paragraph(
            _(
                "or in its shell: jim link --approve CODE. The code is good for {minutes} min."
            ).format(minutes=max(1, expires_s // 60))
        )
        for row in _picture(code):
            put(row)

    def expired(self) -> None:
        self._say(_("Nobody has typed the code in time. Here is a new one."))

    def refused(self) -> None:
        self._paragraph(
            _(
                "! Somebody wanted to take this device in without the present code, and was "
                "refused. If you have typed an earlier code: here is the new one."
            )
        )

    def lost(self, error: JimError, retry_in_s: float) -> None:
        text = _("{reason} The next try is in {seconds} s.")
        self._paragraph(text.format(reason=explain(error), seconds=max(1, round(retry_in_s))))

    def end(self) -> None:
        """Count no longer."""
        if self._counting is not None:
            self._counting.cancel()
        with contextlib.suppress(OSError):  # the terminal is gone
            self._clock.clear()

    def _count(self, seconds: int) -> None:
        self.end()
        if sys.stderr.isatty():
            self._counting = asyncio.create_task(self._tell_time(time.monotonic() + seconds))

    async def _tell_time(self, end_s: float) -> None:
        while (left := int(end_s - time.monotonic())) > 0:
            text = _("The code is good for {minutes}:{seconds:02} more. Ctrl+C: stop.")
            self._clock.write(text.format(minutes=left // 60, seconds=left % 60))
            await asyncio.sleep(SECOND_S)
        self._clock.clear()

    def _paragraph(self, text: str) -> None:
        self._say(*map(as_text, view.paragraph(text, self._look)))

    def _say(self, *rows: str) -> None:
        self._clock.clear()
        sys.stderr.write("".join(f"{row}\n" for row in rows))
        sys.stderr.flush()


class _Line:
    """A line on a terminal that is written again and again; nothing anywhere else."""

    def __init__(self) -> None:
        self._is_on = sys.stderr.isatty()
        self._is_there = False

    def write(self, text: str) -> None:
        """Write it in place of what stands there."""
        if self._is_on:
            # With room for what the terminal itself writes for Ctrl+C, which must not wrap.
            sys.stderr.write(f"\r\x1b[K{text[: max(1, _width() - 3)]}")
            sys.stderr.flush()
            self._is_there = True

    def clear(self) -> None:
        """Leave the line empty."""
        if self._is_there:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_there = False


def _picture(code: LinkCode) -> list[str]:
    """Draw the code as a QR picture, where the terminal has room and signs for it."""
    from jim.client.console.qr import HALVES, qr_lines
    from jim.crypto.link_code import PREFIX

    if not sys.stdout.isatty() or os.environ.get("TERM", "") in {"", "dumb"}:
        return []
    try:
        "".join(HALVES).encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return []
    rows = qr_lines(PREFIX + code.text.upper())
    return rows if len(rows[0]) <= shutil.get_terminal_size().columns else []


# --- the history ----------------------------------------------------------------------------------


def _put_text(text: str) -> None:
    """Write to standard output, broken at words where somebody looks."""
    for row in view.paragraph(text, Look(width=columns(sys.stdout))):
        put(as_text(row))


async def _take_history(
    client: Client, stream: AsyncIterator[events.Event], timeout_s: float | None
) -> int:
    """Wait for the history, as long as some of it comes."""
    telling = _Line()
    silent_s = SILENT_S if timeout_s is None else min(SILENT_S, timeout_s)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(silent_s) as silence:
            async for event in stream:
                if not isinstance(event, events.HistoryMoved) or not event.incoming:
                    continue
                silence.reschedule(asyncio.get_running_loop().time() + silent_s)
                if event.ended:
                    telling.clear()
                    _put_text(newcomer.at_end(event))
                    await client.flush(INTRODUCED_S, everything=True)
                    return Exit.OK
                telling.write(newcomer.progress(event))
            raise client.error or JimError
    telling.clear()
    text = _(
        "The device is linked. Its history comes as soon as the other device is online: start "
        "jim on both."
    )
    complain(text)
    return Exit.OK
