"""Hand events to everybody who listens: each subscriber gets all of them from then on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jim.client.events import Event


class Subscription:
    """The events for one listener, in order; an async iterator that ends with the feed.

    It is not bounded. Dropping an event would be a lie, and ending a listener that is slow (a
    screen whose reader has stalled) would end the program for a reason that goes away by itself.
    What may pile up is what the server sends meanwhile: at most the 10,000 messages of a full
    mailbox and what is written at the rate limit after that; who wants it in pages reads `history`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()

    def put(self, event: Event | None) -> None:
        """Add an event, or with None the end."""
        self._events.put_nowait(event)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            raise StopAsyncIteration
        return event


class Feed:
    """Where events come from."""

    def __init__(self) -> None:
        """Start without listeners."""
        self._subscriptions: list[Subscription] = []
        self._closed = False

    def subscribe(self) -> Subscription:
        """Listen from now on."""
        subscription = Subscription()
        if self._closed:
            subscription.put(None)
        else:
            self._subscriptions.append(subscription)
        return subscription

    def publish(self, event: Event) -> None:
        """Tell everybody."""
        for subscription in self._subscriptions:
            subscription.put(event)

    def close(self) -> None:
        """End every subscription after what it has not read yet."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.put(None)
        self._subscriptions.clear()
