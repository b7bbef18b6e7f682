# ruff: noqa: SLF001 - a bug is put where nobody is meant to reach
"""The bugs put on purpose into the client; see `reliability.virtual.plants`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest import mock

from jim.client import store_rows, sync
from jim.client.events import Message, MessageState, Received
from jim.client.intake import Intake
from jim.client.mailbox import MailboxStore
from jim.client.receiving import Receiving
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jim.client.mailbox import Frame, Kept

Plant = contextlib.AbstractContextManager[Any]


def _patch(owner: object, name: str, value: object) -> Plant:
    return mock.patch.object(owner, name, value)


def cursor_first() -> Plant:
    """The client commits its cursor, and in a second transaction the messages."""
    usual = Intake.add

    async def add(self: Intake, frames: Sequence[Frame]) -> None:
        position = frames[-1].position
        await self._account.writer.write(
            lambda store: store._sql.execute("UPDATE account SET position = ?", (position,))
        )
        await usual(self, frames)

    return _patch(Intake, "add", add)


def client_acks_first() -> Plant:
    """The client confirms what it has read before it is on its disk."""
    usual = Intake.add

    async def add(self: Intake, frames: Sequence[Frame]) -> None:
        if self._errands.link is not None:
            self._errands.link.send(m.Ack(position=frames[-1].position))
        await usual(self, frames)

    return _patch(Intake, "add", add)


def shown_before_commit() -> Plant:
    """The client shows what it has read before it is on its disk."""
    usual = Receiving.consider

    def consider(self: Receiving, message: Frame, kept: list[Frame]) -> None:
        usual(self, message, kept)
        is_kept = bool(kept) and kept[-1] is message
        if (
            is_kept
            and isinstance(message, m.Delivery)
            and message.sender != self._intake._account.name
        ):
            self._feed.publish(Received(_as_message(message)))

    return _patch(Receiving, "consider", consider)


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

    def identity(_: m.Delivery, _text: str, _content_id: str) -> bytes:
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
        _patch(store_rows, "identity_of", identity),
    ):
        yield


def reversed_read() -> Plant:
    """What came with one read is shown last first."""
    usual = MailboxStore.keep

    def keep(self: MailboxStore, frames: Sequence[Frame], *now_and_fresh: Any) -> Kept:
        kept = usual(self, frames[::-1], *now_and_fresh)
        kept.position = frames[-1].position
        self._sql.execute("UPDATE account SET position = ?", (kept.position,))
        return kept

    return _patch(MailboxStore, "keep", keep)


def retry_renumbered() -> Plant:
    """After a lost connection the client gives what may have been stored a new number."""
    usual = sync.Outbox.welcomed

    def welcomed(self: sync.Outbox, last_n: int, last_mark: str = "") -> Any:
        self.confirmed = max(self.confirmed, last_n)
        return usual(self, last_n, last_mark)

    return _patch(sync.Outbox, "welcomed", welcomed)
