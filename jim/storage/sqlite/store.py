"""The `Store` port on SQLite: one thread writes, one reads, the event loop waits for neither.

A third one moves the log into the database beside the writer, who only has to wait for what has
been added meanwhile: after large messages all of it takes a tenth of a second.

What has to be seen in the order of the calls (numbers, accounts, devices) goes through the writing
thread; mailboxes and contacts are read beside it. After a transaction that failed for any reason
but the caller's request, nothing is known about the disk: every later call is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final, TypeVar

from jim.core.model import MailboxState, Standing
from jim.errors import AuthFailed, ChainMoved, StoreError, WireError
from jim.i18n import _
from jim.storage.lock_file import LockFile
from jim.storage.sqlite import accounts, contacts, files, keys, reading, schema
from jim.storage.sqlite.counters import SqliteCounters
from jim.storage.sqlite.failures import transaction, translate, translated
from jim.storage.sqlite.offline import LOCK_NAME
from jim.storage.sqlite.worker import Worker
from jim.storage.sqlite.writing import BatchWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jim.core.limits import Limits
    from jim.core.model import (
        AccountRecord,
        Batch,
        Committed,
        Contact,
        Enrolment,
        InviteRecord,
        Receipt,
        Registration,
        Segment,
    )
    from jim.protocol.messages import PublicKey

T = TypeVar("T")

SETTLE_S: Final = 1.0
"""How long the journal of a server that has little to do keeps a message that was collected, and a
commit's time more. It is to be forgotten, but that costs as much as a commit, and so it is done for
everything of a second at once."""

LOG_WRITES: Final = 256
"""Transactions after which the log is moved in any case: small ones write a few pages each, mostly
the same ones; those of 256 registrations are 9 MiB."""

_REFUSALS = (WireError, sqlite3.IntegrityError)
"""Failures of a registration that roll back cleanly: nothing in memory has changed with it."""


async def open_store(path: Path, limits: Limits) -> SqliteStore:
    """Open the database at `path`, making and migrating it as needed; it is ours until `aclose`.

    Raises:
        StoreLocked: another process works with this directory.
        StoreCorrupt: the file is damaged or no database of ours.
        StoreTooNew: a newer version of the program wrote it.
        StoreUnwritable: the directory or the file cannot be written.
        StoreFull: the disk is full.
        StoreError: something else; always with a text that says what to do.
    """
    store = SqliteStore(path, limits)
    await store.open()
    return store


class SqliteStore:
    """A database that this process has for itself; made by `open_store`."""

    def __init__(self, path: Path, limits: Limits) -> None:
        """Take the path and the limits of the mailboxes; nothing is opened yet."""
        self.path = path
        self.limits = limits
        """May be replaced while the store is open: the next batch is held to it."""
        self.epoch = ""
        self._failure: StoreError | None = None
        self._closing = False
        self._lock = LockFile(path.with_name(LOCK_NAME))
        self._writing = Worker("store-writer")
        self._reading = Worker("store-reader")
        self._moving = Worker("store-mover")
        self._connection: sqlite3.Connection
        self._reader: sqlite3.Connection
        self._mover: sqlite3.Connection
        self._counters: SqliteCounters
        self._batches: BatchWriter
        self._timer: asyncio.TimerHandle | None = None
        self._settling: asyncio.Task[None] | None = None
        self._writes = 0
        """Transactions since the log was moved."""
        self._move: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the files; see `open_store`. After an exception the store is closed."""
        try:
            await self._writing.call(self._open_writer)
            await self._reading.call(self._open_reader)
            await self._moving.call(self._open_mover)
        except BaseException:
            with contextlib.suppress(StoreError):  # the first failure is the one to report
                await self.aclose()
            raise

    async def commit(self, batch: Batch, now_ms: int) -> Committed:
        """Number and store a batch; what is given back is on disk."""
        self._settle_soon()  # before it: a caller that is cancelled does not come back
        return await self._write(lambda: self._batches.commit(batch, self.limits, now_ms))

    async def standing(self, device_id: int) -> Standing:
        """Read where a device stands, after every commit that was submitted before this call."""
        return await self._ask(lambda: self._stand(device_id))

    async def load_after(self, device_id: int, position: int, limit_bytes: int) -> list[Segment]:
        """Read waiting segments behind `position`, in order, gapless."""

        def load() -> list[Segment]:
            newest = self._counters.waiting(device_id)
            return reading.load_after(self._reader, newest, device_id, position, limit_bytes)

        return await self._read(load)

    async def find_account(self, name_key: str) -> AccountRecord | None:
        """Read the account of a normalised name, after every earlier call that changes one."""
        return await self._ask(lambda: accounts.find(self._connection, name_key))

    async def register(self, registration: Registration, now_ms: int) -> AccountRecord:
        """Create an account with its first device; the same genesis again changes nothing."""
        return await self._write(
            lambda: accounts.register(self._connection, registration, now_ms), harmless=_REFUSALS
        )

    async def enrol(self, enrolment: Enrolment, now_ms: int) -> AccountRecord:
        """Append a link to a chain and add its device; the same link again changes nothing."""
        return await self._write(
            lambda: self._grow(enrolment, now_ms, lambda _: AuthFailed()), harmless=_REFUSALS
        )

    async def extend(self, extension: Enrolment, now_ms: int) -> AccountRecord:
        """Append a link that adds or revokes a device; the same link again changes nothing."""
        return await self._write(
            lambda: self._grow(extension, now_ms, lambda seq: ChainMoved(expected=seq)),
            harmless=_REFUSALS,
        )

    async def add_keys(
        self, device_id: int, one_time: Sequence[PublicKey], fallback: PublicKey | None
    ) -> int:
        """Keep keys of a device whose numbers are new; give how many one-time keys wait."""

        def add() -> int:
            with transaction(self._connection):
                most = self.limits.one_time_keys
                return keys.add(self._connection, device_id, one_time, fallback, most)

        return await self._write(add)

    async def claim_keys(self, account_id: int, devices: Sequence[str]) -> dict[str, PublicKey]:
        """Take a key of each of these devices; a one-time key is gone when it is given."""

        def claim() -> dict[str, PublicKey]:
            with transaction(self._connection):
                return keys.claim(self._connection, account_id, devices)

        return await self._write(claim)

    async def receipts(self, account_id: int, name_keys: Sequence[str]) -> dict[str, Receipt]:
        """Read how far each of the named accounts holds its conversation with this one."""
        return await self._read(
            lambda: contacts.receipts(self._reader, self._batches.recent(), account_id, name_keys)
        )

    async def visible_to(self, account_id: int) -> list[Contact]:
        """Read whom the account wrote to."""
        return await self._read(lambda: contacts.visible_to(self._reader, account_id))

    async def visible(self, account_id: int) -> list[Contact]:
        """Read who wrote to the account, at most 1,000, the latest conversation first."""
        return await self._read(
            lambda: contacts.visible(self._reader, self._batches.recent(), account_id)
        )

    async def add_invite(self, invite: InviteRecord, now_ms: int) -> None:
        """Keep an invite; those that nobody can use any more are removed on the way."""
        await self._write(lambda: accounts.add_invite(self._connection, invite, now_ms))

    async def aclose(self) -> None:
        """Finish what was submitted, then close; a second time does nothing.

        Raises:
            StoreError: all is closed, but the log could not be moved into the database. Nothing is
                lost: the log keeps it, and the next opening tries again.
        """
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._moving.closed:
            await self._moving.aclose(self._close_mover)
        unmoved: StoreError | None = None
        if self._failure is None and not self._writing.closed:
            unmoved = await self._writing.call(self._settle_and_move)
        # Closing the last writing connection would move the log too, and tell nobody if it fails.
        # After a failure it must not be tried again, for the system reports a failed write only
        # once (fsync): then the reader, which cannot do it, goes last and leaves the log.
        if self._failure is None:
            await self._reading.aclose(self._close_reader)
            await self._writing.aclose(self._close_writer)
        else:
            await self._writing.aclose(self._close_writer)
            await self._reading.aclose(self._close_reader)
        self._lock.release()
        if unmoved is not None:
            raise unmoved

    # --- forgetting -------------------------------------------------------------------------------

    def _settle_soon(self) -> None:
        """See to it that in `SETTLE_S` the journal loses what it has, one more commit included."""
        if self._timer is None and not self._closing:
            loop = asyncio.get_running_loop()
            last = self._batches.last_commit + 1
            self._timer = loop.call_later(SETTLE_S, self._begin_settling, last)

    def _begin_settling(self, commit_id: int) -> None:
        self._timer = None
        self._settling = asyncio.get_running_loop().create_task(self._settle(commit_id))

    async def _settle(self, commit_id: int) -> None:
        # A failure ends the store, and the next call tells it.
        with contextlib.suppress(StoreError):
            while await self._write(lambda: self._batches.settle_some(commit_id)):
                pass
            if not self._batches.is_settled:
                self._settle_soon()

    # --- the log ----------------------------------------------------------------------------------

    def _move_soon(self) -> None:
        """Begin to move the log into the database, if there is enough of it."""
        long = self._batches.logged_bytes >= files.LOG_BYTES or self._writes >= LOG_WRITES
        if long and self._move is None and not self._closing:
            self._writes = 0
            self._move = asyncio.get_running_loop().create_task(self._move_log())

    async def _move_log(self) -> None:
        """Move it beside the writer, then let the writer move the rest.

        Only a log of which nothing is left when the next commit comes begins anew; else it grows.
        """

        def move_most() -> None:
            files.move_most_of_log(self._mover)

        # A failure ends the store, and the next call tells it.
        with contextlib.suppress(StoreError):
            await self._call(self._moving, move_most, (Exception,))
            await self._call(self._writing, self._batches.move_log, (Exception,))
        self._move = None

    # --- how calls get into the threads -----------------------------------------------------------

    async def _write(
        self, function: Callable[[], T], *, harmless: tuple[type[Exception], ...] = ()
    ) -> T:
        """Run a transaction; a failure that is not `harmless` ends the store.

        Whether the log has become long is looked at also for a caller that was cancelled.
        """
        try:
            return await self._call(self._writing, function, (Exception,), harmless)
        finally:
            self._writes += 1
            self._move_soon()

    async def _ask(self, function: Callable[[], T]) -> T:
        """Read in the order of the writer's calls."""
        return await self._call(self._writing, function)

    async def _read(self, function: Callable[[], T]) -> T:
        """Read what is committed, beside the writer."""
        return await self._call(self._reading, function)

    async def _call(
        self,
        worker: Worker,
        function: Callable[[], T],
        ending: tuple[type[Exception], ...] = (),
        harmless: tuple[type[Exception], ...] = (),
    ) -> T:
        if self._closing:
            raise StoreError(f"{self.path}: the store is closed")

        def guarded() -> T:
            # Looked at in the thread: calls that were queued behind a failing one are refused too.
            if self._failure is not None:
                raise type(self._failure)(self._failure.detail, **self._failure.fields)
            try:
                return function()
            except WireError as error:
                if not isinstance(error, harmless):
                    self._failure = translate(self.path, error)
                raise
            except Exception as error:
                translated = translate(self.path, error)
                if isinstance(error, ending) and not isinstance(error, harmless):
                    self._failure = translated
                raise translated from error

        return await worker.call(guarded)

    # --- in the threads ---------------------------------------------------------------------------

    def _open_writer(self) -> None:
        files.prepare(self.path)
        self._lock.acquire()
        self._connection = files.open_writer(self.path)
        with translated(self.path):
            self.epoch = schema.read_epoch(self._connection)
        self._counters = SqliteCounters(self._connection)
        self._batches = BatchWriter(self._connection, self._counters)
        files.move_by_hand(self._connection)

    def _open_reader(self) -> None:
        self._reader = files.open_reader(self.path)

    def _open_mover(self) -> None:
        self._mover = files.connect(self.path)

    def _settle_and_move(self) -> StoreError | None:
        """Settle the journal, and move the log as far as no other process reads it.

        Gives the failure.
        """
        if self._failure is not None or not hasattr(self, "_connection"):
            return None
        try:
            self._batches.settle()
            files.move_log(self._connection)
        except Exception as error:  # noqa: BLE001 - also after a bug all has to be closed
            cause = translate(self.path, error)
            hint = _("nothing is lost: leave {name} there, the next start moves it")
            detail = f"{cause.detail}; {hint.format(name=f'{self.path.name}-wal')}"
            self._failure = type(cause)(detail, **cause.fields)
        return self._failure

    def _close_writer(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()

    def _close_mover(self) -> None:
        if hasattr(self, "_mover"):
            self._mover.close()

    def _close_reader(self) -> None:
        if hasattr(self, "_reader"):
            self._reader.close()

    def _stand(self, device_id: int) -> Standing:
        device = self._counters.device(device_id)
        return Standing(
            device.last_n,
            device.last_position,
            device.acked,
            device.last_mark,
            device.state is MailboxState.REVOKED,
            keys.count(self._connection, device_id),
        )

    def _grow(
        self, extension: Enrolment, now_ms: int, unfit: Callable[[int], WireError]
    ) -> AccountRecord:
        def hand_over(account_id: int, device_id: int) -> None:
            self._batches.hand_over(account_id, device_id, self.limits, now_ms)

        with translated(self.path):  # what fails here is no refusal: memory is ahead of it by now
            self._batches.settle_account(extension.account_id)
        try:
            return accounts.grow(self._connection, extension, hand_over, unfit)
        finally:
            # Also after a rollback: the counters must not know of a device that is not there.
            self._counters.forget(extension.account_id)
