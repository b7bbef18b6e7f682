"""Hand events to everybody who listens: each subscriber gets all of them from then on."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Final

from jim.client.events import PresenceChanged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jim.client.events import Event

MAX_PASSING: Final = 1_000
"""People of whom one listener still has to hear that they came or went. Of more the oldest word
goes, for nobody acts on who came long ago: a server can name people without end."""


class Subscription:
    """The events for one listener, in order; an async iterator that ends with the feed.

    Who came or went waits once for each person: a later word takes the place of an earlier one that
    nobody has read, and of too many people the oldest is dropped. Nothing else ever is: dropping a
    message would be a lie, and ending a listener that is slow (a screen whose reader has stalled)
    would end the program for a reason that goes away by itself. What may pile up is what the server
    sends meanwhile: at most the 10,000 messages of a full mailbox and what is written at the rate
    limit after that; who wants it in pages reads `history`.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: OrderedDict[int, Event] = OrderedDict()
        self._passing: OrderedDict[str, int] = OrderedDict()
        """Where in `_waiting` the last word about a person is."""
        self._numbers = count()
        self._ended = False
        self._news = asyncio.Event()

    def put(self, event: Event | None) -> None:
        """Add an event, or with None the end."""
        self._news.set()
        if event is None:
            self._ended = True
            return
        number = next(self._numbers)
        if isinstance(event, PresenceChanged):
            if (earlier := self._passing.get(event.name)) is not None:
                self._waiting[earlier] = event
                return
            if len(self._passing) >= MAX_PASSING:
                del self._waiting[self._passing.popitem(last=False)[1]]
            self._passing[event.name] = number
        self._waiting[number] = event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        _, event = self._waiting.popitem(last=False)
        if isinstance(event, PresenceChanged):
            del self._passing[event.name]
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
