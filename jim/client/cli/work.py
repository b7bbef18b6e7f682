"""Run one piece of work with a client: open, watch for its end, close, and say what is new."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from jim.client import events
from jim.client.cli.output import complain
from jim.client.console import notices, view
from jim.client.console.explain import Exit, exit_code, explain_recipient
from jim.client.console.lines import as_text
from jim.client.console.starting import started
from jim.client.console.streams import is_thrown_away
from jim.client.console.text import safe_line
from jim.client.console.view import Look
from jim.common.interrupts import on_end, run_loop
from jim.errors import JimError, NameInvalid, RecipientUnknown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from jim.client import Client
    from jim.client.console.lines import Line

    Events = AsyncIterator[events.Event]
    Work = Callable[[Client, Events], Awaitable[int]]
    """Takes a client that has been started, and its events since before that."""

CLOSE_S = 3.0
LOOK = Look(one_line=True, words=True)


def run_client(make: Callable[[], Client], work: Work) -> int:
    """Start a client, do the work with it, close it; the status is the work's.

    `make` makes the client: again if another command has the account, which is waited for a moment.
    What a first contact brings (fingerprint, recovery words) goes to standard error.

    Raises:
        JimError: the client has stopped for good.
    """
    from jim import log_config

    with log_config.configure("client"):
        return run_loop(_run(make, work))


async def about(name: str, work: Awaitable[int]) -> int:
    """Do what has to do with somebody; that nobody has the name is said, and is the status."""
    try:
        return await work
    except (NameInvalid, RecipientUnknown) as error:
        complain(f"{safe_line(name)}: {explain_recipient(error)}")
        return exit_code(error)


async def _run(make: Callable[[], Client], work: Work) -> int:
    async def made() -> tuple[Client, tuple[Events, Events]]:
        client = make()
        return client, (client.events(), client.events())

    client, (stream, notices) = await started(made)
    working: asyncio.Future[int] | None = None
    telling = asyncio.create_task(_tell(notices, client))
    try:
        working = asyncio.ensure_future(work(client, stream))
        signalled = asyncio.ensure_future(_signal())
        await asyncio.wait({working, telling, signalled}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        if signalled.done():
            return Exit.INTERRUPTED
        return await _after_the_end(client, working)
    finally:
        telling.cancel()
        if working is not None:
            working.cancel()
            await asyncio.wait({working}, timeout=CLOSE_S)
        with contextlib.suppress(TimeoutError, JimError):
            await asyncio.wait_for(client.aclose(), CLOSE_S)


async def _after_the_end(client: Client, working: asyncio.Task[int]) -> int:
    """The client has stopped for good while somebody was at work with it."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(working, 1)
    raise client.error or JimError


async def _tell(stream: AsyncIterator[events.Event], client: Client) -> None:
    """Report what must not be missed, until the client ends."""
    async for event in stream:
        if not _tell_one("".join(f"{as_text(each)}\n" for each in _worded(event, client.name))):
            continue
        with contextlib.suppress(JimError):  # it is told again, then
            if isinstance(event, events.Registered) and event.words:
                await client.words_shown()
            elif isinstance(event, events.MissingNotice):
                await client.notice_shown(event.notice_id)


def _tell_one(text: str) -> bool:
    """Write to standard error; tell whether somebody may have seen it."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
        return not is_thrown_away(sys.stderr.fileno())
    except (OSError, ValueError):  # full, closed, or no file at all
        return False


def _worded(event: events.Event, own_name: str) -> list[Line]:
    match event:
        case events.FirstContact():
            return view.first_contact(event, LOOK)
        case events.Registered(words=words) if words:
            return view.recovery_words(words, own_name, LOOK)
        case events.MissingNotice():
            return notices.notice(event, own_name, LOOK)
        case events.DevicesChanged():
            return view.devices_changed(LOOK)
    return []


async def _signal() -> None:
    """Wait for SIGTERM or SIGHUP; SIGINT is KeyboardInterrupt already."""
    called = asyncio.Event()
    on_end(called.set)
    await called.wait()
