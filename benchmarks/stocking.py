"""Fill a store before its server starts: accounts and waiting messages, through the store's code.

The same functions as in the server do it (`accounts.register`, `BatchWriter.commit`), only in large
batches and without fsync: nothing is promised to anybody yet. The last act is a checkpoint, so the
server finds a database that was closed well.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.peer import Account
from jim.client.encryption.vault import new_vault
from jim.core.limits import Limits
from jim.core.model import Batch, Enrolment, Identity, Registration, Run
from jim.core.names import claim
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.links import make_add, make_genesis
from jim.errors import ChainMoved
from jim.protocol.codec import FROM_SERVER
from jim.protocol.messages import Msg, Stored
from jim.server.identity import load_identity
from jim.storage.sqlite import accounts, files, schema
from jim.storage.sqlite.counters import SqliteCounters
from jim.storage.sqlite.writing import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from jim.core.model import Committed

BATCH = 10_000
"""Messages of one commit: 2 MB, and the cost of a transaction is spread thin enough."""


class Member(Struct, frozen=True):
    """An account that is in the store: what another process needs to log in as it."""

    name: str
    seed: bytes
    head: bytes
    identity: Identity
    devices: tuple[str, ...] = ()
    """Those that have keys of encryption."""

    def account(self) -> MemberAccount:
        """Give what `benchmarks.peer` logs in with."""
        return MemberAccount(self)


class MemberAccount(Account):
    """An account that need not register."""

    __slots__ = ()

    def __init__(self, member: Member) -> None:
        """Take over the keys; the genesis is with the server already."""
        self.name = member.name
        self.key = SigningKey(member.seed)
        self.head = member.head
        self.registered = True


class Stock:
    """A database that no server has open."""

    def __init__(self, path: Path) -> None:
        """Make or open the database, and the server's identity: it would not start without."""
        if not path.exists():
            load_identity(path.parent, path.name)
        files.prepare(path)
        self._connection = files.open_writer(path)
        self._connection.execute("PRAGMA synchronous = OFF")
        schema.read_epoch(self._connection)
        self._batches = BatchWriter(self._connection, SqliteCounters(self._connection))
        self._limits = Limits(waiting_messages=100_000_000)

    def close(self) -> None:
        """Make everything durable and close."""
        self._batches.settle()
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def enlist(self, names: Iterable[str]) -> list[Member]:
        """Register accounts."""
        return [self._enlist(name) for name in names]

    def enlist_sealing(self, names: Iterable[str], devices: int = 1) -> list[Member]:
        """Register accounts with so many devices each, which have keys of encryption."""
        return [self._enlist_sealing(name, devices) for name in names]

    def post(self, messages: Iterable[tuple[Member, int, str, str]]) -> list[Stored]:
        """Store messages (sender, n, name of the addressee, text), and give the answers.

        Raises:
            RuntimeError: one was refused.
        """
        answers: list[Stored] = []
        for batch in _batched(messages):
            runs = [
                Run(sender.identity, [Msg(id=n, n=n, to=to, message=text)])
                for sender, n, to, text in batch
            ]
            committed = self.commit(Batch(runs, {}))
            frames = b"".join(each.frames for each in committed.answers)
            replies = FROM_SERVER.json.decode_lines(frames)
            answers += [each for each in replies if isinstance(each, Stored)]
            if len(replies) != len(runs) or not all(isinstance(r, Stored) for r in replies):
                raise RuntimeError("the store refused a message")
        return answers

    def commit(self, batch: Batch) -> Committed:
        """Store a batch as the server does."""
        return self._batches.commit(batch, self._limits, _now_ms())

    def _enlist(self, name: str) -> Member:
        fresh = Account(name)
        wanted = Registration(name, claim(name).skeleton, fresh.genesis, fresh.head, None)
        record = accounts.register(self._connection, wanted, _now_ms())
        device = record.devices[0]
        identity = Identity(record.account_id, device.device_id, name, device.device)
        return Member(name, fresh.key.seed, fresh.head, identity)

    def _enlist_sealing(self, name: str, devices: int) -> Member:
        recovery, now_ms = SigningKey.generate(), _now_ms()
        first, *others = (SigningKey.generate() for _ in range(devices))
        vault = new_vault(first, device_id(first.public))
        chain = [make_genesis(name, first, recovery.public, now_ms, vault.keys)]
        state = verify_chain(chain, name)
        wanted = Registration(
            name, claim(name).skeleton, chain[0], state.head, None, vault.fallback
        )
        record = accounts.register(self._connection, wanted, now_ms)
        for key in others:
            vault = new_vault(key, device_id(key.public))
            chain.append(make_add(state, key, recovery, now_ms, vault.keys))
            state = verify_chain(chain, name)
            added = Enrolment(record.account_id, chain[-1], state.head, devices, vault.fallback)
            accounts.grow(self._connection, added, lambda *_: None, lambda _: ChainMoved())
        device = record.devices[0]
        identity = Identity(record.account_id, device.device_id, name, device.device)
        return Member(name, first.seed, state.head, identity, tuple(state.keys))


@contextlib.contextmanager
def stocked(path: Path) -> Iterator[Stock]:
    """Open a database for the length of a block."""
    stock = Stock(path)
    try:
        yield stock
    finally:
        stock.close()


def _batched(
    messages: Iterable[tuple[Member, int, str, str]],
) -> Iterator[Sequence[tuple[Member, int, str, str]]]:
    batch: list[tuple[Member, int, str, str]] = []
    for message in messages:
        batch.append(message)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
