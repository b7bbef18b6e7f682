"""A model world for `jim.client.sync`: everything that may happen, in any order.

A seeded scheduler chooses what happens next; `check` says what must never be otherwise.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jim.client import sync
from unit_tests.client.model import WINDOW, Disk, Kept, Server, Store, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

PERMANENT = {"recipient_unknown", "text_too_long", "mailbox_full", "cancelled"}


class Client:
    """A process with `sync` in it; everything but its store is gone after a crash."""

    def __init__(self, store: Store) -> None:
        self.store = store
        rows = [self._row(kept) for kept in store.queue()]
        self.outbox = sync.Outbox(store.confirmed, rows, WINDOW)
        self.inbox = sync.Inbox(store.epoch, store.cursor)
        self.noticed = max([kept.message_id for kept in store.messages], default=0)
        self.jobs: deque[object] = deque()
        self.wire: Wire | None = None
        self.welcome: tuple[Any, ...] | None = None
        self.online = False
        self.met = False
        self.disconnects = 0
        self.chance = random.Random(0)
        self.keys_missing = 0.0
        self.look_at_devices: Callable[[], int] = lambda: 0

    @staticmethod
    def _row(kept: Kept) -> sync.Row:
        mark = f"mark of {kept.uid}"
        return sync.Row(kept.message_id, "bob", kept.payload(), released=kept.released, mark=mark)

    def carry_out(self, effects: list[Any]) -> None:
        for effect in effects:
            if isinstance(effect, sync.Transmit):
                self._check_transmission(effect)
                uid, sealed = effect.payload.text, effect.payload.ciphertexts
                devices = -1 if sealed is None else int(sealed["devices"])
                self._send("msg", effect.request_id, effect.n, uid, effect.mark, devices)
            elif isinstance(effect, sync.AskFrom):
                self._send("sync", effect.after)
            elif isinstance(effect, sync.Acknowledge):
                assert effect.position <= self.store.cursor, "acknowledged before it was durable"
                self._send("ack", effect.position)
            elif isinstance(effect, sync.Disconnect):
                self.disconnects += 1
                self.lose()
            elif not isinstance(effect, sync.Missing):
                self.jobs.append(effect)

    def _check_transmission(self, effect: sync.Transmit) -> None:
        kept = next(k for k in self.store.messages if k.uid == effect.payload.text)
        assert kept.released, "transmitted before it was durably released"
        assert kept.n == effect.n, "transmitted under a number that is not durable"

    def _send(self, *message: Any) -> None:
        if self.wire is not None and self.online:
            self.wire.to_server.append(message)

    def work(self) -> None:
        """Let the store's thread do one job, and hear of it."""
        if not self.jobs:
            return
        job = self.jobs.popleft()
        if isinstance(job, list):
            self.store.keep(job)
            self.carry_out(self.inbox.stored(job[-1][0]))
        elif job == "notice":
            self._notice()
        elif isinstance(job, tuple):
            self.store.enqueue(job[0], released=job[1])
        else:
            self._apply(job)
        if not self.jobs and self.welcome is not None:
            self._welcomed(*self.welcome)

    def _apply(self, job: object) -> None:
        if isinstance(job, sync.Seal):
            job = self._lacking(job)
            if job.stale:
                self.store.devices = self.look_at_devices()
        again = self.store.apply(job)
        if isinstance(job, sync.Seal):
            found = {i: self.store.by_id(i).payload() for i in job.message_ids}
            self.carry_out(self.outbox.sealed({i: p for i, p in found.items() if p}))
        elif isinstance(job, sync.Requeue):
            self.carry_out(self.outbox.requeued([self._row(kept) for kept in again]))
        elif isinstance(job, sync.BLOCKING):
            self.carry_out(self.outbox.done())

    def _lacking(self, job: sync.Seal) -> sync.Seal:
        """Seal only the first ones, as if the server gave no more keys."""
        if self.chance.random() >= self.keys_missing:
            return job
        count = self.chance.randrange(len(job.message_ids))
        ids = job.message_ids[:count]
        return sync.Seal(ids, [each for each in job.stale if each in ids])

    def _notice(self) -> None:
        new = [k for k in self.store.queue() if k.message_id > self.noticed]
        if new:
            self.noticed = new[-1].message_id
            rows = [self._row(kept) for kept in new]
            for row in rows:
                row.fresh = True
            self.carry_out(self.outbox.queued(rows))

    def write(self, uid: str) -> None:
        self.jobs.append((uid, self.outbox.sends_at_once))
        self.jobs.append("notice")

    def cancel(self, chance: random.Random, *, doubtful: bool) -> None:
        """Take any message back; of a restored store only what is new (the limit in ADR 0006)."""
        rows = [row for row in self.outbox.rows if row.fresh or not doubtful]
        if rows:
            row = chance.choice(rows)
            self.carry_out(self.outbox.cancel(row.message_id, "cancelled"))

    def lose(self) -> None:
        self.wire = self.welcome = None
        self.online = False
        self.outbox.disconnected()

    def receive(self, message: tuple[Any, ...]) -> None:
        kind, *rest = message
        if kind == "welcome":
            self.welcome = tuple(rest)
            self.jobs.append("notice")
        elif kind == "stored":
            self.carry_out(self.outbox.stored(*rest))
        elif kind == "refused":
            self.carry_out(self.outbox.refused(*rest))
        elif kind == "ok":
            self.inbox.answered()
        else:
            self._frame(*rest)

    def _frame(self, position: int, uid: str) -> None:
        decision, effects = self.inbox.frame(position)
        if decision is sync.Decision.KEEP:
            if self.jobs and isinstance(self.jobs[-1], list):
                self.jobs[-1].append((position, uid))
            else:
                self.jobs.append([(position, uid)])
        self.carry_out(effects)

    def _welcomed(self, last_n: int, mark: str, epoch: str, position: int, acked: int) -> None:
        self.welcome, self.online, self.met = None, True, True
        self.carry_out(list(self.inbox.welcomed(epoch, position, acked, "behind")))
        self.carry_out(list(self.outbox.welcomed(last_n, mark)))


@dataclass
class Faults:
    """How often what happens, as weights; 0 never."""

    crash: int = 2
    lose: int = 5
    server_crash: int = 3
    refusals: bool = True
    marks: bool = True
    """The server keeps and tells marks; one from before them does not."""
    drop_frame: int = 1
    client_backup: bool = False
    server_backup: bool = False
    devices: int = 0
    """How often they change."""
    keys_missing: float = 0.0
    """How likely it is that something cannot be sealed for now."""


class World:
    """Everything together, driven by one seed."""

    def __init__(self, seed: int, faults: Faults, store: Store | None = None) -> None:
        self.chance = random.Random(seed)
        self.faults = faults
        self.server = Server(keeps_marks=faults.marks)
        self.client = self._client(store or Store())
        self.written: list[str] = []
        self.received: list[str] = []
        self.backup: Store | None = None
        self.server_backup: Disk | None = None
        self.restored = False

    def _client(self, store: Store) -> Client:
        client = Client(store)
        client.chance, client.keys_missing = self.chance, self.faults.keys_missing
        client.look_at_devices = lambda: self.server.disk.devices
        return client

    def run(self, steps: int) -> None:
        actions = {
            self.write: 12,
            self.foreign: 2,
            self.cancel: 2,
            self.work: 25,
            self.to_server: 25,
            self.to_client: 25,
            self.commit: 12,
            self.connect: 10,
            self.incoming: 5,
            self.lose: self.faults.lose,
            self.crash: self.faults.crash,
            self.server_crash: self.faults.server_crash,
            self.drop_frame: self.faults.drop_frame,
            self.save: 2 if self.faults.client_backup or self.faults.server_backup else 0,
            self.restore_client: 1 if self.faults.client_backup else 0,
            self.restore_server: 1 if self.faults.server_backup else 0,
            self.devices: self.faults.devices,
            self.retry: 5 if self.faults.keys_missing else 0,
        }
        for action in self.chance.choices(list(actions), list(actions.values()), k=steps):
            action()
        self.heal()

    # --- what may happen ------------------------------------------------------------------------

    def _uid(self) -> str:
        kinds = ["ok"] * 6
        kinds += ["nobody", "long", "full"] if self.faults.refusals else []
        uid = f"{self.chance.choice(kinds)}{len(self.written)}"
        self.written.append(uid)
        return uid

    def write(self) -> None:
        self.client.write(self._uid())

    def foreign(self) -> None:
        """Another process writes into the store; the client looks later, or after its crash."""
        self.client.store.enqueue(self._uid(), released=False)
        if self.chance.random() < 0.7:
            self.client.jobs.append("notice")

    def cancel(self) -> None:
        doubtful = self.restored and not (self.faults.marks and self.client.met)
        self.client.cancel(self.chance, doubtful=doubtful)

    def work(self) -> None:
        self.client.work()

    def to_server(self) -> None:
        wire = self.client.wire
        if wire is not None and wire.to_server:
            self.server.receive(wire, wire.to_server.popleft())

    def to_client(self) -> None:
        wire = self.client.wire
        if wire is not None and wire.to_client:
            self.client.receive(wire.to_client.popleft())

    def devices(self) -> None:
        self.server.disk.devices += 1

    def retry(self) -> None:
        self.client.carry_out(list(self.client.outbox.retry()))

    def commit(self) -> None:
        self.server.commit(self.chance)

    def connect(self) -> None:
        if self.client.wire is None:
            self.client.wire = Wire()
            self.server.accept(self.client.wire)

    def incoming(self) -> None:
        uid = f"in{len(self.received)}"
        self.received.append(uid)
        self.server.disk.mailbox.append(uid)

    def lose(self) -> None:
        """Cut the connection; what was on its way to the server may still arrive."""
        wire = self.client.wire
        if wire is not None:
            for _ in range(self.chance.randrange(len(wire.to_server) + 1)):
                self.server.receive(wire, wire.to_server.popleft())
            self.client.lose()

    def crash(self) -> None:
        self.client = self._client(self.client.store)

    def server_crash(self) -> None:
        self.server.waiting.clear()
        self.server.wire = None
        self.client.lose()

    def drop_frame(self) -> None:
        wire = self.client.wire
        if wire is not None and wire.to_client and wire.to_client[0][0] == "frame":
            wire.to_client.popleft()

    def save(self) -> None:
        if self.faults.client_backup and self.backup is None:
            self.backup = copy.deepcopy(self.client.store)
        if self.faults.server_backup and self.server_backup is None:
            self.server_backup = copy.deepcopy(self.server.disk)

    def restore_client(self) -> None:
        if self.backup is not None and not self.restored:
            self.restored = True
            self.client = self._client(self.backup)

    def restore_server(self) -> None:
        if self.server_backup is not None and not self.restored:
            self.restored = True
            self.server_crash()
            self.server.disk = self.server_backup
            self.server.disk.epoch += 1

    # --- the end --------------------------------------------------------------------------------

    def heal(self) -> None:
        """Let everything work until nothing moves any more.

        A new connection first: a frame that was dropped without a later one shows up only there.
        """
        self.lose()
        self.client.jobs.append("notice")
        self.client.keys_missing = 0.0
        for _ in range(60 + 12 * len(self.written)):
            self.connect()
            wire = self.client.wire
            for _ in range(WINDOW):
                self.to_server()
            self.commit()
            while wire is self.client.wire and wire is not None and wire.to_client:
                self.to_client()
                self.client.work()
            while self.client.jobs:
                self.client.work()

    def check(self) -> None:
        self.check_outgoing()
        self.check_incoming()

    def check_outgoing(self) -> None:
        store, disk = self.client.store, self.server.disk
        at_server = [uid for _, uid in disk.stored]
        assert len(set(at_server)) == len(at_server), "stored twice"
        order = {kept.uid: kept.message_id for kept in store.messages}
        places = [order[uid] for uid in at_server if uid in order]
        assert places == sorted(places), "order lost"
        for kept in store.messages:
            count = at_server.count(kept.uid)
            assert kept.state != "queued", f"{kept.uid} never settled"
            if kept.state == "stored":
                assert count == 1, f"{kept.uid} lost"
                assert disk.stored[kept.n - 1] == (kept.n, kept.uid), "another number"
                assert kept.seq in {0, kept.n}, "another answer"
            elif kept.state in PERMANENT:
                assert count == 0, f"{kept.uid} failed, but is stored"
            else:
                assert kept.state == "unknown_outcome"
                assert self.restored, "unknown outcome without a reason"

    def check_incoming(self) -> None:
        store, disk = self.client.store, self.server.disk
        assert len(set(store.inbox)) == len(store.inbox), "received twice"
        assert store.cursor == len(disk.mailbox), "not everything collected"
        if not self.restored:
            assert store.inbox == self.received, "received in another order"
