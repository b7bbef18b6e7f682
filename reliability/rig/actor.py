"""A person at a client: `python -m reliability.rig.actor`, told what to do line by line.

It is the real client library in a process of its own, and a front end that shows everything to the
harness. What is killed is this process; what was shown is known outside of it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jim.client import (
    Address,
    Client,
    Fatal,
    LinkChanged,
    MissingNotice,
    OwnChanged,
    Received,
    Registered,
)
from jim.errors import JimError
from reliability.rig import lines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence

    from jim.client import Event, Message

TURNS: Final = 20
"""Of the event loop, for what was read from the connection to get to the store: it takes 5."""

_ROWS: Final = """
SELECT message_id, peer, outgoing, sender, device, n, seq, text, state, error_code FROM messages
WHERE kind = 'text' AND (message_id > ? OR (outgoing AND message_id >= ?)) ORDER BY message_id
"""
"""Texts alone: what goes between devices is gone when it is settled."""


class Actor:
    """One client, and the lines between it and the harness."""

    def __init__(
        self, client: Client, data_dir: Path, tell: Callable[[lines.Report], None]
    ) -> None:
        """Take a client that has not been started, and where to tell what happens."""
        self._client = client
        self._tell = tell
        self._data_dir = data_dir
        self._device = ""
        self._sending: set[asyncio.Task[None]] = set()

    async def run(
        self, seen: int, own: int, command: Callable[[], Awaitable[lines.Command | None]]
    ) -> None:
        """Live until there is no further command.

        Args:
            seen: the harness knows the messages up to this number.
            own: from here on it wants to know of own messages, whatever it has seen.
            command: gives the next one.
        """
        events = self._client.events()
        try:
            await self._client.start()
        except JimError as error:
            self._tell(lines.Fatal(str(error)))
            return
        telling = asyncio.create_task(self._tell_all(events, seen, own))
        try:
            while (ordered := await command()) is not None:
                self._obey(ordered)
        finally:
            await self._client.aclose()
            await asyncio.gather(telling, *self._sending, return_exceptions=True)

    # --- telling ----------------------------------------------------------------------------------

    async def _tell_all(self, events: AsyncEvents, seen: int, own: int) -> None:
        """Tell what the store holds, then every event: nothing is told before what precedes it."""
        with contextlib.suppress(JimError):
            await self._client.store_id()
            self._tell(self._look(seen, own))
        async for event in events:
            if (report := self._report(event)) is not None:
                self._tell(report)
            if isinstance(event, MissingNotice):
                with contextlib.suppress(JimError):
                    await self._client.notice_shown(event.notice_id)

    def _report(self, event: Event) -> lines.Report | None:
        if isinstance(event, Received | OwnChanged):
            return lines.Change(self._row(event.message))
        if isinstance(event, LinkChanged):
            return lines.Link(event.state, str(event.error or ""))
        if isinstance(event, MissingNotice):
            return lines.Notice(event.code)
        if isinstance(event, Registered) and event.words is not None:
            return lines.Words(" ".join(event.words))
        if isinstance(event, Fatal):
            return lines.Fatal(str(event.error))
        return None

    def _row(self, message: Message) -> lines.Row:
        uid, digest = lines.described(message.text)
        return lines.Row(
            message_id=message.message_id,
            mine=message.outgoing and message.device == self._device,
            peer=message.peer,
            sender=message.sender,
            device=message.device,
            n=message.n,
            seq=message.seq,
            uid=uid,
            digest=digest,
            state=message.state,
            code=message.error_code or "",
        )

    def _look(self, seen: int, own: int, token: int = 0) -> lines.Store:
        """Read the store beside the client, on a connection of our own that cannot write."""
        path = next(self._data_dir.glob(f"accounts/*/{self._client.name}/store.db"))
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
            account = connection.execute("SELECT device, position FROM account").fetchone()
            self._device, position = account
            found = connection.execute(_ROWS, (seen, own)).fetchall()
        return lines.Store(self._device, position, [self._read(row) for row in found], token)

    def _read(self, row: Sequence[object]) -> lines.Row:
        number, peer, outgoing, sender, device, n, seq, text, state, code = row
        uid, digest = lines.described(str(text))
        return lines.Row(
            message_id=int(str(number)),
            mine=bool(outgoing) and device == self._device,
            peer=str(peer),
            sender=str(sender),
            device=str(device),
            n=int(str(n)),
            seq=int(str(seq)),
            uid=uid,
            digest=digest,
            state=str(state),
            code=str(code or ""),
        )

    # --- obeying ----------------------------------------------------------------------------------

    def _obey(self, command: lines.Command) -> None:
        if isinstance(command, lines.Send):
            # Not awaited: they are queued in the order in which the tasks begin.
            self._begin(self._send(command))
        elif isinstance(command, lines.Retry):
            self._client.retry_now()
        elif isinstance(command, lines.Sync):
            self._begin(self._sync(command.token))
        elif isinstance(command, lines.Look):
            self._begin(self._look_now(command))
        else:
            self._begin(self._ask(command.token))

    def _begin(self, work: Work) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, command: lines.Send) -> None:
        text = lines.text_of(command.uid, command.size_bytes)
        try:
            await self._client.send(command.to, text, key=command.uid)
        except JimError as error:
            self._tell(lines.Unsent(command.uid, str(error)))

    async def _sync(self, token: int) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        with contextlib.suppress(JimError):
            await self._client.store_id()  # answered after everything that was asked before
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self._tell(lines.Synced(token))

    async def _look_now(self, command: lines.Look) -> None:
        with contextlib.suppress(JimError):
            await self._client.store_id()
        self._tell(self._look(command.after, command.after, command.token))

    async def _ask(self, token: int) -> None:
        began = time.monotonic()
        error = ""
        try:
            await self._client.presence()
        except JimError as caught:
            error = str(caught)
        self._tell(lines.Synced(token, time.monotonic() - began, error))


if TYPE_CHECKING:
    AsyncEvents = AsyncIterator[Event]
    Work = Coroutine[object, object, None]


def _tell(report: lines.Report) -> None:
    sys.stdout.write(lines.encoded(report) + "\n")
    sys.stdout.flush()


async def _live(client: Client, data_dir: Path, seen: int, own: int) -> None:
    """Live as a process: commands come from the standard input, until it ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )

    async def command() -> lines.Command | None:
        line = await reader.readline()
        return lines.commands.decode(line) if line else None

    await Actor(client, data_dir, _tell).run(seen, own, command)


def main() -> None:
    """Read who this is, and live."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", type=Address.parse)
    parser.add_argument("name")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--words", help="recovery words: be one more device of the account")
    parser.add_argument("--seen", type=int, default=0, help="the harness knows up to this number")
    parser.add_argument("--own", type=int, default=0, help="own messages to tell of from here on")
    chosen = parser.parse_args()
    if chosen.words:
        client = Client.recover(chosen.server, chosen.name, chosen.words, data_dir=chosen.data_dir)
    else:
        client = Client(chosen.server, chosen.name, data_dir=chosen.data_dir)
    asyncio.run(_live(client, chosen.data_dir, chosen.seen, chosen.own))


if __name__ == "__main__":
    main()
