"""The server, network and disks of `world.py`: plain lists and the rules of docs/protocol.md.

Nothing here is taken from the code under test or from the server's own numbering.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jim.client import sync
from jim.errors import (
    DevicesChanged,
    MailboxFull,
    NumberGap,
    RecipientUnknown,
    TextTooLong,
    WindowExceeded,
    WireError,
)

if TYPE_CHECKING:
    import random

WINDOW = 4


class Wire:
    """One connection: what is on its way in both directions."""

    def __init__(self) -> None:
        self.to_server: deque[tuple[Any, ...]] = deque()
        self.to_client: deque[tuple[Any, ...]] = deque()


@dataclass
class Disk:
    """What the server has on disk."""

    epoch: int = 1
    stored: list[tuple[int, str]] = field(default_factory=list)
    """(n, uid), in order; the place in the list is the sequence."""
    mailbox: list[str] = field(default_factory=list)
    """What others sent to the device; position = index + 1."""
    acked: int = 0
    last_mark: str = ""
    devices: int = 0
    """Counts how often they changed: what was sealed before is for others."""


class Server:
    """Follows the rules for numbers, or breaks one of them if it is told to."""

    def __init__(self, *, keeps_marks: bool = True) -> None:
        self.disk = Disk()
        self.keeps_marks = keeps_marks
        self.waiting: list[tuple[Wire, int, int, str, str, int]] = []
        self.sent: int | None = None
        self.wire: Wire | None = None

    @property
    def last_n(self) -> int:
        return len(self.disk.stored)

    def accept(self, wire: Wire) -> None:
        self.waiting.clear()
        self.wire, self.sent = wire, None
        disk = self.disk
        standing = (f"epoch{disk.epoch}", len(disk.mailbox), disk.acked)
        wire.to_client.append(("welcome", self.last_n, disk.last_mark, *standing))

    def receive(self, wire: Wire, message: tuple[Any, ...]) -> None:
        if wire is not self.wire:
            return
        kind, *rest = message
        if kind == "msg":
            self._submit(wire, *rest)
        elif kind == "ack":
            assert self.sent is not None
            assert rest[0] <= self.sent, "acknowledged what was not sent"
            self.disk.acked = max(self.disk.acked, rest[0])
        else:
            assert rest[0] <= len(self.disk.mailbox), "asked for what is ahead of the mailbox"
            self.disk.acked = max(self.disk.acked, rest[0])
            self.sent = rest[0]
            wire.to_client.append(("ok",))

    def _submit(
        self, wire: Wire, request_id: int, n: int, uid: str, mark: str, devices: int
    ) -> None:
        refusal: WireError | None = None
        if len(self.waiting) >= WINDOW:
            refusal = WindowExceeded()
        elif uid.startswith("long"):
            refusal = TextTooLong()
        if refusal:
            wire.to_client.append(("refused", request_id, refusal))
        else:
            self.waiting.append((wire, request_id, n, uid, mark, devices))

    def commit(self, chance: random.Random) -> None:
        """Number what is waiting, answer, and push what the mailbox has."""
        waiting, self.waiting = self.waiting, []
        for wire, request_id, n, uid, mark, devices in waiting:
            before = self.last_n
            wire.to_client.append(self._decide(request_id, n, uid, devices, chance))
            if self.keeps_marks and self.last_n > before:
                self.disk.last_mark = mark
        if self.wire is not None and self.sent is not None:
            for position in range(self.sent + 1, len(self.disk.mailbox) + 1):
                frame = ("frame", position, self.disk.mailbox[position - 1])
                self.wire.to_client.append(frame)
            self.sent = len(self.disk.mailbox)

    def _decide(
        self, request_id: int, n: int, uid: str, devices: int, chance: random.Random
    ) -> tuple[Any, ...]:
        if n <= self.last_n:
            if self.last_n - n >= WINDOW:
                return ("refused", request_id, NumberGap(n=n, expected=self.last_n + 1))
            return ("stored", request_id, n, n, 1000 + n)
        if n != self.last_n + 1:
            return ("refused", request_id, NumberGap(n=n, expected=self.last_n + 1))
        if uid.startswith("nobody"):
            return ("refused", request_id, RecipientUnknown())
        if devices != self.disk.devices:
            return ("refused", request_id, DevicesChanged())
        if uid.startswith("full") and chance.random() < 0.5:
            return ("refused", request_id, MailboxFull())
        self.disk.stored.append((n, uid))
        return ("stored", request_id, n, n, 1000 + n)


@dataclass
class Kept:
    """A message as the client's disk has it."""

    message_id: int
    uid: str
    state: str = "queued"
    n: int = 0
    seq: int = 0
    released: bool = False
    devices: int | None = None
    """For which devices it is sealed, None if it is not."""

    def payload(self) -> sync.Payload | None:
        if self.devices is None:
            return None
        return sync.Payload({"devices": str(self.devices)}, self.uid)


@dataclass
class Store:
    """The client's disk: the rules of store.py, said in another way."""

    confirmed: int = 0
    messages: list[Kept] = field(default_factory=list)
    epoch: str = ""
    cursor: int = 0
    devices: int = 0
    """What it knows of the server's."""
    inbox: list[str] = field(default_factory=list)

    def queue(self) -> list[Kept]:
        return [kept for kept in self.messages if kept.state == "queued"]

    def renumber(self) -> None:
        for n, kept in enumerate(self.queue(), self.confirmed + 1):
            kept.n = n

    def by_id(self, message_id: int) -> Kept:
        return next(kept for kept in self.messages if kept.message_id == message_id)

    def enqueue(self, uid: str, *, released: bool) -> None:
        devices = self.devices if released else None
        self.messages.append(Kept(len(self.messages) + 1, uid, released=released, devices=devices))
        self.renumber()

    def keep(self, frames: list[tuple[int, str]]) -> None:
        self.inbox += [uid for _, uid in frames if uid not in self.inbox]
        self.cursor = frames[-1][0]

    def apply(self, effect: object) -> list[Kept]:  # noqa: C901  (one case for each effect)
        """Carry out an effect; gives the rows that it queued again."""
        again: list[Kept] = []
        match effect:
            case sync.Seal(ids, stale):
                for message_id in ids:
                    self.seal(self.by_id(message_id), stale=message_id in stale)
            case sync.Confirm():
                self.confirm(effect)
            case sync.Refuse(message_id, code):
                self.by_id(message_id).state = code
            case sync.Restart(last_n, unknown):
                for message_id in unknown:
                    self.by_id(message_id).state = "unknown_outcome"
                self.confirmed = last_n
            case sync.Requeue(after_n):
                again = [k for k in self.messages if k.state == "stored" and k.n > after_n]
                for kept in again:
                    kept.state, kept.released, kept.devices = "queued", True, None
                self.confirmed = after_n
            case sync.MoveCursor(epoch, position):
                self.epoch, self.cursor = epoch, position
        self.renumber()
        return again

    def seal(self, kept: Kept, *, stale: bool) -> None:
        kept.released = True
        if stale or kept.devices is None:
            kept.devices = self.devices

    def confirm(self, effect: sync.Confirm) -> None:
        kept = self.by_id(effect.message_id)
        assert kept.state == "queued"
        assert effect.n == self.confirmed + 1
        self.confirmed = effect.n
        kept.state, kept.n, kept.seq = "stored", effect.n, effect.seq
