"""What outlives a crash: the server's journal with its store, and what a client has on its disk."""

from __future__ import annotations

import copy
import functools
import hashlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from jim.client import sync
from jim.client.mark import mark_of
from jim.core.model import Enrolment, Identity, Registration
from jim.protocol.codec import FROM_SERVER
from jim.protocol.messages import Link, Stored
from jim.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from jim.core.limits import Limits
    from jim.core.model import Batch, Committed
    from jim.protocol.messages import Delivery

ResultT = TypeVar("ResultT")

START_MS: Final = 1_700_000_000_000
"""The wall clock at the start of every run; any fixed time serves."""

MAX_DEVICES: Final = 10

STORE_ID: Final = "0" * 32
"""Of every client's store: marks are compared within one device only."""


def finish(call: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a call of the memory store, which never waits."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: ResultT = stop.value
        return result
    raise AssertionError("the memory store has waited")


@functools.cache
def _account(name: str, devices: int) -> tuple[Registration, tuple[Enrolment, ...]]:
    """Make what the store is told of an account; nobody verifies the keys again at this depth."""
    links, heads = [], [bytes(32)]
    for seq in range(1, devices + 1):
        key = hashlib.sha256(f"{name} {seq}".encode()).digest()
        link = Link(
            acct=name,
            seq=seq,
            prev=heads[-1],
            op="genesis" if seq == 1 else "add",
            device=f"{name}{seq}",
            login_key=key,
            time=START_MS,
            proof=bytes(64),
            sig=bytes(64),
        )
        links.append(link)
        heads.append(hashlib.sha256(key).digest())
    registration = Registration(name, name, links[0], heads[1], None)
    joined = zip(links[1:], heads[2:], strict=True)
    return registration, tuple(Enrolment(0, link, head, MAX_DEVICES) for link, head in joined)


class ServerDisk:
    """The store with the journal of what is durable, from which it is opened again."""

    def __init__(self, people: dict[str, int], limits: Limits) -> None:
        """Begin with accounts (name to number of devices) and nothing stored."""
        self.people = people
        self.limits = limits
        self.lineage = 0
        self.journal: list[tuple[Batch, int]] = []
        self.store = self._fresh()

    def _fresh(self) -> MemoryStore:
        store = MemoryStore(self.limits, f"{self.lineage:016x}")
        for name, devices in self.people.items():
            registration, enrolments = _account(name, devices)
            record = finish(store.register(registration, START_MS))
            for each in enrolments:
                enrolment = Enrolment(record.account_id, each.link, each.head, each.max_devices)
                finish(store.enrol(enrolment, START_MS))
        return store

    def identities(self) -> list[Identity]:
        """Give everybody's devices, in the order of the accounts."""
        found = []
        for name in self.people:
            account = finish(self.store.find_account(name))
            assert account is not None
            found += [
                Identity(account.account_id, device.device_id, name, device.device)
                for device in account.devices
            ]
        return found

    def commit(self, batch: Batch, now_ms: int) -> Committed:
        """Store a batch; it is durable when this returns."""
        self.journal.append((batch, now_ms))
        return finish(self.store.commit(batch, now_ms))

    def crash(self) -> None:
        """Lose what was not durable: nothing, since every commit ends with fsync."""

    def reopen(self, length: int) -> None:
        """Go back to the first `length` batches, as a copy of that time has them."""
        del self.journal[length:]
        self.store = self._fresh()
        for batch, now_ms in self.journal:
            finish(self.store.commit(batch, now_ms))

    def restore(self, length: int) -> None:
        """Put a backup in place and begin a new lineage, as `jim-server resync` does."""
        self.lineage += 1
        self.reopen(min(length, len(self.journal)))

    def stored(self) -> set[str]:
        """Give every text that is stored by now, of messages not refused."""
        store, texts = self._fresh(), set()
        for batch, now_ms in self.journal:
            answers = finish(store.commit(batch, now_ms)).answers
            for run, told in zip(batch.runs, answers, strict=True):
                replies = FROM_SERVER.json.decode_lines(told.frames)
                pairs = zip(run.messages, replies, strict=True)
                texts |= {str(each.message) for each, reply in pairs if isinstance(reply, Stored)}
        return texts


class Kept(Struct):
    """A message of ours as the client's disk has it; the rules of jim/client/store.py."""

    message_id: int
    to: str
    text: str
    released: bool = False
    n: int = 0
    state: str = "queued"

    def row(self) -> sync.Row:
        """Give it as the outbox knows it."""
        mark = mark_of(STORE_ID, self.message_id, self.to, self.text)
        payload = self.payload() if self.released else None
        return sync.Row(self.message_id, self.to, payload, released=self.released, mark=mark)

    def payload(self) -> sync.Payload:
        """Give what goes out, which is made when it is released: nothing is sealed here."""
        return sync.Payload(None, self.text)


class ClientDisk:
    """A client's store: outbox, cursor, and what came. Each method is one transaction."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.confirmed = 0
        self.epoch = ""
        self.cursor = 0
        self.messages: dict[int, Kept] = {}
        self.queue: list[Kept] = []
        """Those of `messages` that are queued, in the order of their ids."""
        self.known: set[tuple[str, str, int, str, str]] = set()

    def copy(self) -> ClientDisk:
        """Give a backup."""
        return copy.deepcopy(self)

    def crash(self) -> None:
        """Lose what was not durable: nothing, since every commit ends with fsync."""

    def is_like(self, other: ClientDisk) -> bool:
        """Tell whether both hold the same."""
        return vars(self) == vars(other)

    def received(self) -> tuple[str, ...]:
        """Give the texts of others that it holds."""
        return tuple(sorted(identity[-1] for identity in self.known))

    def enqueue(self, to: str, text: str, *, released: bool) -> None:
        """Queue a message."""
        kept = Kept(len(self.messages) + 1, to, text, released)
        self.messages[kept.message_id] = kept
        self.queue.append(kept)
        kept.n = self.confirmed + len(self.queue)

    def queued_after(self, message_id: int) -> list[sync.Row]:
        """Read what was queued later than a message."""
        return [kept.row() for kept in self.queue if kept.message_id > message_id]

    def keep(self, deliveries: Sequence[Delivery], position: int) -> list[Delivery]:
        """Keep what came and move the cursor with it; give what was not here before."""
        fresh = []
        for each in deliveries:
            identity = (each.sender, each.device, each.n, each.to, str(each.message))
            if identity not in self.known:
                self.known.add(identity)
                fresh.append(each)
        self.cursor = position
        return fresh

    def apply(self, effect: sync.OutboxEffect | sync.InboxEffect) -> list[Kept]:
        """Carry out an effect; give the messages that it has changed."""
        if isinstance(effect, sync.Confirm):
            return self._confirm(effect)
        if isinstance(effect, sync.Seal):
            sealed = [self.messages[message_id] for message_id in effect.message_ids]
            for kept in sealed:
                kept.released = True
            return sealed
        if isinstance(effect, sync.MoveCursor):
            self.epoch, self.cursor = effect.epoch, effect.position
            return []
        changed = self._rework(effect)
        self.queue.sort(key=lambda kept: kept.message_id)
        for n, kept in enumerate(self.queue, self.confirmed + 1):
            kept.n = n
        return changed

    def _confirm(self, effect: sync.Confirm) -> list[Kept]:
        kept = self.messages[effect.message_id]
        self.queue.remove(kept)
        kept.state, kept.n = "stored", effect.n
        self.confirmed = effect.n
        return [kept]

    def _rework(self, effect: object) -> list[Kept]:
        """Carry out what numbers the queue anew."""
        if isinstance(effect, sync.Refuse):
            return self._fail([effect.message_id], effect.code)
        if isinstance(effect, sync.Restart):
            self.confirmed = effect.last_n
            return self._fail(effect.unknown, "unknown_outcome")
        assert isinstance(effect, sync.Requeue)
        self.confirmed = effect.after_n
        lost = [m for m in self.messages.values() if m.state == "stored" and m.n > effect.after_n]
        for kept in lost:
            kept.state, kept.released = "queued", True
        self.queue += lost
        return lost

    def _fail(self, message_ids: Sequence[int], code: str) -> list[Kept]:
        failed = [self.messages[message_id] for message_id in message_ids]
        for kept in failed:
            kept.state = code
            self.queue.remove(kept)
        return failed
