"""A client together with everything that it has told, for tests that wait for something."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

from jim.client import Address, Client
from jim.client.events import LinkChanged, LinkState, Received

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.client.events import Event, Message

EventT = TypeVar("EventT")

DEADLINE_S = 20.0
"""To wait for anything: only a fault reaches it."""


class Listening:
    """A client that has been started, and its events."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.events: list[Event] = []
        self._subscription = client.events()
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        async for event in self._subscription:
            async with self._news:
                self.events.append(event)
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()

    async def wait(
        self, kind: type[EventT], fits: Callable[[EventT], bool] = lambda _: True, count: int = 1
    ) -> list[EventT]:
        """Give the events of a kind that fit, as soon as there are so many."""

        def found() -> list[EventT]:
            return [event for event in self.events if isinstance(event, kind) and fits(event)]

        async with asyncio.timeout(DEADLINE_S), self._news:
            await self._news.wait_for(lambda: len(found()) >= count or self._task.done())
        assert len(found()) >= count, f"{kind.__name__} never came: {self.events}"
        return found()

    async def online(self, count: int = 1) -> Self:
        """Wait until it has been connected so many times."""
        await self.wait(LinkChanged, lambda event: event.state is LinkState.ONLINE, count)
        return self

    async def received(self, count: int) -> list[Message]:
        """Give the messages of others, once there are so many."""
        return [event.message for event in await self.wait(Received, count=count)]

    async def aclose(self) -> None:
        await self.client.aclose()
        await self._task


async def launch(port: int, name: str, folder: Path, **options: Any) -> Listening:
    """Start a client whose data lives in a folder."""
    host = options.pop("host", "127.0.0.1")
    listening = Listening(Client(Address(host, port), name, data_dir=folder, **options))
    try:
        await listening.client.start()
    except BaseException:
        await listening.aclose()
        raise
    return listening
