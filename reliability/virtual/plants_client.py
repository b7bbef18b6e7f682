# ruff: noqa: SLF001 - a bug is put where nobody is meant to reach
"""The bugs put on purpose into the client; see `reliability.virtual.plants`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import jim.client.store
from jim.client import sync
from jim.client.courier import Courier
from jim.client.events import Message, MessageState, Received
from jim.client.store import MessageStore
from jim.protocol import messages as m

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator, Sequence

Plant = contextlib.AbstractContextManager[Any]


def _patch(owner: object, name: str, value: object) -> Plant:
    return mock.patch.object(owner, name, value)


def cursor_first() -> Plant:
    """The client commits its cursor, and in a second transaction the messages."""
    moving = MessageStore.keep

    def keep(self: MessageStore, frames: Sequence[Any], _: int) -> list[Any]:
        (before,) = self._sql.execute("SELECT position FROM account").fetchone()
        return moving(self, frames, before)

    usual = Courier._keep

    def twice(self: Courier, kept: Sequence[Any]) -> asyncio.Future[Any]:
        position = kept[-1].position
        loop = self._pacer._clock
        done: asyncio.Future[Any] = loop.create_future()  # type: ignore[attr-defined]

        def end(_: object) -> None:
            if not done.done():
                done.set_result(None)

        def then(_: object) -> None:
            usual(self, kept).add_done_callback(end)

        moved = self._account.writer.write(
            lambda store: store._sql.execute("UPDATE account SET position = ?", (position,))
        )
        moved.add_done_callback(then)
        return done

    stack = contextlib.ExitStack()
    stack.enter_context(_patch(MessageStore, "keep", keep))
    stack.enter_context(_patch(Courier, "_keep", twice))
    return stack


def client_acks_first() -> Plant:
    """The client confirms what it has read before it is on its disk."""
    usual = Courier._keep

    def keep(self: Courier, kept: Sequence[Any]) -> asyncio.Future[Any]:
        if self._link is not None:
            self._link.send(m.Ack(position=kept[-1].position))
        return usual(self, kept)

    return _patch(Courier, "_keep", keep)


def shown_before_commit() -> Plant:
    """The client shows what it has read before it is on its disk."""
    usual = Courier._keep

    def keep(self: Courier, kept: Sequence[Any]) -> asyncio.Future[Any]:
        for each in kept:
            if isinstance(each, m.Delivery) and each.sender != self._account.name:
                self._feed.publish(Received(_as_message(each)))
        return usual(self, kept)

    return _patch(Courier, "_keep", keep)


def _as_message(delivery: m.Delivery) -> Message:
    return Message(
        message_id=0,
        peer=delivery.sender,
        outgoing=False,
        sender=delivery.sender,
        text=str(delivery.message),
        time_ms=delivery.time,
        seq=delivery.seq,
        n=delivery.n,
        device=delivery.device,
        state=MessageState.RECEIVED,
    )


@contextlib.contextmanager
def cursor_ignored() -> Iterator[None]:
    """The client takes what comes whatever its position, and does not know what it has."""
    usual = sync.Inbox.frame
    taken = iter(range(10**9))

    def frame(self: sync.Inbox, position: int) -> Any:
        if position <= self.received:
            return sync.Decision.KEEP, []
        return usual(self, position)

    def identity(_: m.Delivery) -> bytes:
        return next(taken).to_bytes(32, "big")

    def ask(self: sync.Inbox) -> Any:
        self._asking = True
        self._must_ask = False
        return [sync.AskFrom(0)]

    stack = contextlib.ExitStack()
    stack.enter_context(_patch(sync.Inbox, "_ask", ask))
    with (
        stack,
        _patch(sync.Inbox, "frame", frame),
        _patch(jim.client.store, "identity_of", identity),
    ):
        yield


def reversed_read() -> Plant:
    """What came with one read is shown last first."""
    usual = MessageStore.keep

    def keep(self: MessageStore, deliveries: Sequence[Any], position: int) -> list[Any]:
        return usual(self, deliveries[::-1], position)

    return _patch(MessageStore, "keep", keep)


def retry_renumbered() -> Plant:
    """After a lost connection the client gives what may have been stored a new number."""
    usual = sync.Outbox.welcomed

    def welcomed(self: sync.Outbox, last_n: int, last_mark: str = "") -> Any:
        self.confirmed = max(self.confirmed, last_n)
        return usual(self, last_n, last_mark)

    return _patch(sync.Outbox, "welcomed", welcomed)
