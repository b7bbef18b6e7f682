"""`jim listen`: each message once, as it arrives, on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from jim.client import events
from jim.client.cli.accounts import client_for
from jim.client.cli.output import json_line, message_record, put
from jim.client.cli.places import open_shown
from jim.client.cli.work import LOOK, run_client
from jim.client.console import shown, view
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.errors import JimError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client
    from jim.client.console.shown import Shown
    from jim.client.events import Message


def run(options: argparse.Namespace) -> int:
    """Print messages until `--count`, `--timeout` or a signal.

    Raises:
        JimError: the account cannot be opened, or the client has stopped for good.
    """
    client = client_for(options)
    stream = client.events()
    return run_client(client, lambda: _Listener(options, client, stream).run())


class _Listener:
    """What has been printed so far."""

    def __init__(
        self, options: argparse.Namespace, client: Client, stream: AsyncIterator[events.Event]
    ) -> None:
        self._options, self._client, self._stream = options, client, stream
        self._left = options.count
        self._cursor: Shown | None = None

    async def run(self) -> int:
        """Print what waits, then what arrives; ends with 6 if `--count` were not there in time."""
        if self._left == 0:
            return Exit.OK
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.timeout):
                await self._follow()
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
                    self._print(message)
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
            self._print(message)

    def _print(self, message: Message) -> None:
        if self._left == 0 or message.outgoing or self._cursor is None:
            return
        if not self._cursor.advance(message):
            return
        if self._left is not None:
            self._left -= 1
        if self._options.json:
            put(json_line(message_record(message)))
        else:
            now_ms = time.time_ns() // 1_000_000
            for line in view.incoming(message, LOOK, now_ms):
                put(as_text(line))
        self._cursor.written(message)
