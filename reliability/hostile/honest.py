"""Two honest people who talk through the server while it is attacked, by the real client library.

What they write are the naughty strings and the valid half of the UTF-8 set, then numbered lines
until they are told to stop. Everything has to be acknowledged and to arrive once, in order, and
with every byte as it was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Final

from jim.client import Address, Client, MessageState, Received
from reliability.hostile import corpus, utf8

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reliability.hostile.report import Section

NAMES: Final = ("alice", "bob")
PAUSE_S: Final = 0.05
"""Between two messages, so that the attackers get most of the server's time."""

DELIVERED_S: Final = 60.0
"""For what is still on its way at the end: a second here; only a loss reaches it."""


class Pair:
    """Both people, and what each has written and read."""

    def __init__(self, port: int, directory: Path) -> None:
        self._clients = [
            Client(Address("127.0.0.1", port), name, data_dir=directory / name) for name in NAMES
        ]
        self.written: dict[str, list[str]] = {name: [] for name in NAMES}
        self.read: dict[str, list[str]] = {name: [] for name in NAMES}
        self.failed: list[str] = []
        self._ids: dict[str, list[int]] = {name: [] for name in NAMES}
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def start(self) -> None:
        """Connect both, then let them talk in the background."""
        events = [client.events() for client in self._clients]
        for client in self._clients:
            await client.start()
        for client, stream in zip(self._clients, events, strict=True):
            self._tasks.append(asyncio.create_task(self._listen(client.name, stream)))
        for client in self._clients:
            while client.state != "online":  # noqa: ASYNC110 - the client has no event for it
                await asyncio.sleep(0.02)
        for me, other in ((0, 1), (1, 0)):
            self._tasks.append(asyncio.create_task(self._talk(self._clients[me], NAMES[other])))

    async def _listen(self, name: str, stream: object) -> None:
        async for event in stream:  # type: ignore[attr-defined]
            if isinstance(event, Received):
                self.read[name].append(event.message.text)

    async def _talk(self, client: Client, to: str) -> None:
        for text in self._texts(client.name):
            message = await client.send(to, text)
            self.written[client.name].append(text)
            self._ids[client.name].append(message.message_id)
            await asyncio.sleep(PAUSE_S if self._is_through(client.name) else 0)
            if self._stop.is_set() and self._is_through(client.name):
                return

    @staticmethod
    def _texts(name: str) -> Iterator[str]:
        yield from _odd_texts()
        for number in itertools.count(1):
            yield f"{name} says {number}"

    def _is_through(self, name: str) -> bool:
        return len(self.written[name]) > len(_odd_texts())

    async def finish(self, section: Section) -> None:
        """Let what is on its way arrive, compare, and put the verdict into the section."""
        self._stop.set()
        await asyncio.wait(self._tasks[2:], timeout=DELIVERED_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DELIVERED_S):
                for client in self._clients:
                    await client.flush()
                while self._is_waiting():  # noqa: ASYNC110 - both lists grow by themselves
                    await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)  # a doubled message would still come
        for client in self._clients:
            await self._check_states(client, section)
        for sender, reader in _ways():
            compare(self.written[sender], self.read[reader], f"{sender} to {reader}", section)
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            await client.aclose()

    def _is_waiting(self) -> bool:
        return any(len(self.read[b]) < len(self.written[a]) for a, b in _ways())

    async def _check_states(self, client: Client, section: Section) -> None:
        for message_id in self._ids[client.name]:
            section.cases += 1
            message = await client.wait_stored(message_id, DELIVERED_S)
            if message.state not in (MessageState.STORED, MessageState.DELIVERED):
                section.violate(f"{client.name}: {message.text[:40]!r} is {message.state}")
            section.count(message.state)


def compare(written: list[str], read: list[str], way: str, section: Section) -> None:
    """Note every difference between what was written and what was read, the first one exactly."""
    if written == read:
        return
    for place, (text, other) in enumerate(itertools.zip_longest(written, read)):
        if text != other:
            detail = f"message {place + 1} is {ascii(other)[:80]} instead of {ascii(text)[:80]}"
            section.violate(f"{way}: {len(read)} of {len(written)} read; {detail}")
            return


def _ways() -> tuple[tuple[str, str], tuple[str, str]]:
    return (NAMES[0], NAMES[1]), (NAMES[1], NAMES[0])


def _odd_texts() -> list[str]:
    return [*corpus.naughty_strings(), *(odd.content.decode() for odd in utf8.cases() if odd.valid)]
