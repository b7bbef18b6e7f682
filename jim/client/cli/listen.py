"""`jim listen`: each message once, as it arrives, on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from jim.client import events
from jim.client.cli.accounts import client_maker
from jim.client.cli.output import json_line, message_record, notice_record
from jim.client.cli.places import open_shown
from jim.client.cli.work import LOOK, run_client
from jim.client.console import shown, view
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.client.console.streams import FLUSH_S, Writer, is_thrown_away
from jim.errors import JimError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client
    from jim.client.console.shown import Shown
    from jim.client.events import Message

AHEAD: Final = 64
"""Messages handed to the output before it is waited for: what a reader takes in one go, and no
more in memory for one that has stopped."""


def run(options: argparse.Namespace) -> int:
    """Print messages until `--count`, `--timeout` or a signal.

    Raises:
        JimError: the account cannot be opened, or the client has stopped for good.
        OSError: the output cannot be written.
    """
    return run_client(
        client_maker(options),
        lambda client, stream: _Listener(options, client, stream).run(),
    )


class _Listener:
    """What has been printed so far."""

    def __init__(
        self, options: argparse.Namespace, client: Client, stream: AsyncIterator[events.Event]
    ) -> None:
        self._options, self._client, self._stream = options, client, stream
        self._left = options.count
        self._cursor: Shown | None = None
        self._out = Writer(sys.stdout.fileno())
        self._is_lost = is_thrown_away(sys.stdout.fileno())
        """Nobody can read the output: nothing counts as shown."""
        self._ahead = 0

    async def run(self) -> int:
        """Print what waits, then what arrives; ends with 6 if `--count` were not there in time."""
        working = asyncio.ensure_future(self._print_all())
        broken = self._out.broken
        ends: set[asyncio.Future[Any]] = {working, broken}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                raise broken.result()
            return working.result()
        finally:
            working.cancel()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._out.flushed(), FLUSH_S)

    async def _print_all(self) -> int:
        if self._left == 0:
            return Exit.OK
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.timeout):
                await self._follow()
                await self._out.flushed()
            return Exit.OK
        if self._client.state != "online":
            return Exit.NO_CONNECTION
        return Exit.OK if self._options.count is None else Exit.NOT_IN_TIME

    async def _follow(self) -> None:
        async for event in self._stream:
            match event:
                case events.LinkChanged(events.LinkState.ONLINE | events.LinkState.WAITING):
                    if self._cursor is None:
                        await self._print_waiting()
                case events.Received(message):
                    if self._cursor is None:
                        await self._print_waiting()
                    await self._print(message)
                case events.MissingNotice() if self._options.json:
                    record = notice_record(event, self._client.name)
                    self._out.write(f"{json_line(record)}\n")
            if self._left == 0:
                return
        raise self._client.error or JimError

    async def _print_waiting(self) -> None:
        """Print what the store got since the last time, or after the message that was named."""
        options, client = self._options, self._client
        if not client.name:
            return
        cursor = await open_shown(client.address, client, options.data_dir)
        self._cursor = cursor
        if options.after is not None:
            cursor.number = options.after
        for message in await shown.after(client, cursor.number):
            await self._print(message)

    async def _print(self, message: Message) -> None:
        cursor = self._cursor
        if self._left == 0 or message.outgoing or cursor is None or not cursor.advance(message):
            return
        if self._left is not None:
            self._left -= 1
        if self._options.json:
            text = json_line(message_record(message))
        else:
            lines = view.incoming(message, LOOK, time.time_ns() // 1_000_000)
            text = "\n".join(map(as_text, lines))
        then = None if self._is_lost else functools.partial(cursor.written, message)
        self._out.write(f"{text}\n", then)
        self._ahead += 1
        if self._ahead == AHEAD:
            self._ahead = 0
            await self._out.flushed()
