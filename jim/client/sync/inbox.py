"""The mailbox cursor: which frames are kept, dropped or fetched, and what is confirmed."""

from __future__ import annotations

import enum

from msgspec import Struct

from jim.client.sync.common import MAX_FRUITLESS, Disconnect


class Decision(enum.Enum):
    """What becomes of a mailbox frame."""

    KEEP = enum.auto()
    DROP = enum.auto()


class MoveCursor(Struct, frozen=True):
    """Set the durable cursor and the server's epoch, without having received anything."""

    epoch: str
    position: int


class AskFrom(Struct, frozen=True):
    """Ask for everything after the position."""

    after: int


class Acknowledge(Struct, frozen=True):
    """Tell the server that everything up to the position is durable here."""

    position: int


class Missing(Struct, frozen=True):
    """Tell the front end that messages are missing."""

    code: str


InboxEffect = MoveCursor | AskFrom | Acknowledge | Missing | Disconnect


class Inbox:
    """The mailbox cursor of this device."""

    def __init__(self, epoch: str, cursor: int) -> None:
        """Start from the durable state; an empty epoch means that no server was met yet."""
        self.epoch = epoch
        self.cursor = cursor
        """The last position that is durable here."""
        self.received = cursor
        """The last position taken; the store may still be writing it."""
        self._asking = False
        self._must_ask = False
        self._fruitless = 0

    def welcomed(self, epoch: str, position: int, acked: int, code: str) -> list[InboxEffect]:
        """Find the position to go on from; `code` words what is missing if we are behind.

        Must be called only when no effect on the store is pending. In another lineage of the
        server's store positions mean something else: everything that it still has is taken, and
        what we have already is found by sender, device and number.
        """
        effects: list[InboxEffect] = []
        if self.cursor < acked:
            effects.append(Missing(code))
        if epoch != self.epoch or not acked <= self.cursor <= position:
            self.epoch, self.cursor = epoch, acked
            effects.append(MoveCursor(epoch, acked))
        self.received = self.cursor
        self._fruitless = 0
        return [*effects, *self._ask()]

    def frame(self, position: int) -> tuple[Decision, list[InboxEffect]]:
        """Decide about a frame at a position."""
        if position <= self.received:
            return Decision.DROP, []
        if position == self.received + 1:
            self.received = position
            self._fruitless = 0
            return Decision.KEEP, []
        if self._asking or self._must_ask:
            return Decision.DROP, []
        self._fruitless += 1
        if self._fruitless > MAX_FRUITLESS:
            return Decision.DROP, [Disconnect("the mailbox has a gap")]
        self._must_ask = True
        return Decision.DROP, self._ask() if self.cursor == self.received else []

    def answered(self) -> None:
        """Take the server's answer to `AskFrom`: from here on frames come without a gap."""
        self._asking = False

    def stored(self, position: int) -> list[InboxEffect]:
        """Confirm what has become durable."""
        if position <= self.cursor:
            return []
        self.cursor = position
        if self._must_ask and self.cursor == self.received:
            return self._ask()
        return [Acknowledge(position)]

    def _ask(self) -> list[InboxEffect]:
        """Ask from the cursor on, which confirms it.

        Never while the store is still writing: its position would then be confirmed after the
        server has started again before it.
        """
        self._asking = True
        self._must_ask = False
        return [AskFrom(self.cursor)]
