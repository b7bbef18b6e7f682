"""The log is moved into the database beside the writer: bounded, in nobody's way, never twice."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jim.core.limits import Limits
from jim.errors import StoreUnwritable
from jim.storage.sqlite import files, open_store
from unit_tests.support.accounts import ack, add_account, send

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore

LIMITS = Limits(waiting_messages=1_000_000)
LARGE = "x" * (files.LOG_BYTES // 4)
"""Four of them fill the log."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


class Watched:
    """A connection whose moving of the log can fail, or be held up: before it, or behind it."""

    def __init__(
        self, connection: sqlite3.Connection, *, fails: bool = False, behind: bool = False
    ) -> None:
        self._connection = connection
        self._fails, self._behind = fails, behind
        self.tries = 0
        self.begun = threading.Event()
        self.may_go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if "wal_checkpoint" not in statement:
            return self._connection.execute(statement, *arguments)
        self.tries += 1
        row = self._connection.execute(statement).fetchone() if self._behind else None
        self.begun.set()
        if self._fails:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error
        self.may_go_on.wait()
        return SimpleNamespace(fetchone=lambda: row) if row else self._connection.execute(statement)


async def begin(path: Path) -> tuple[SqliteStore, Identity, Identity]:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    return store, alice, bob


async def fill(store: SqliteStore, alice: Identity, first: int = 1) -> int:
    """Send until the log is to be moved; give the next number."""
    n = first
    while store._move is None:
        await send(store, alice, "bob", n, text=LARGE)
        n += 1
    return n


async def moved(store: SqliteStore) -> None:
    if store._move is not None:
        await store._move


async def assert_holds(path: Path, alice: Identity, bob: Identity, last_n: int) -> None:
    store = await open_store(path, LIMITS)
    assert (await store.standing(alice.device_id)).last_n == last_n
    found = await store.load_after(bob.device_id, 0, 1 << 40)
    assert [segment.last for segment in found] == list(range(1, last_n + 1))
    assert all(LARGE.encode() in segment.frames for segment in found)
    await store.aclose()


async def test_the_log_begins_anew_however_long_it_goes_on(path: Path) -> None:
    store, alice, bob = await begin(path)
    log = path.with_name("server.db-wal")
    moves = 0
    for n in range(1, 60):
        committed = await send(store, alice, "bob", n, text=LARGE)
        await ack(store, bob, committed.segments[0].last)
        moves += store._move is not None
        await moved(store)
    assert moves > 5
    assert log.stat().st_size < 4 * files.LOG_BYTES
    await store.aclose()


async def test_small_commits_move_it_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jim.storage.sqlite.store.LOG_WRITES", 8)
    store, alice, _ = await begin(path)  # registrations count
    began = []
    for n in range(1, 7):
        await send(store, alice, "bob", n)
        began.append(store._move is not None)
    assert began == [False] * 5 + [True]
    await moved(store)
    await store.aclose()


async def test_commits_do_not_wait_for_it(path: Path) -> None:
    store, alice, bob = await begin(path)
    mover: Any = Watched(store._mover)
    store._mover = mover
    n = await fill(store, alice)
    await asyncio.to_thread(mover.begun.wait)
    await send(store, alice, "bob", n, text=LARGE)
    assert (await store.standing(bob.device_id)).position == n
    mover.may_go_on.set()
    await moved(store)
    await store.aclose()
    await assert_holds(path, alice, bob, n)


async def test_what_comes_meanwhile_is_moved_by_the_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FEW_PAGES", 1 << 30)  # the mover goes through the log once
    store, alice, _ = await begin(path)
    mover: Any = Watched(store._mover, behind=True)
    store._mover = mover
    n = await fill(store, alice)
    await asyncio.to_thread(mover.begun.wait)
    await send(store, alice, "bob", n, text=LARGE)
    mover.may_go_on.set()
    await moved(store)
    assert mover.tries == 1
    await send(store, alice, "bob", n + 1)
    assert await pages_in_log(store) < 64, "it has begun anew"
    await store.aclose()


async def pages_in_log(store: SqliteStore) -> int:
    _, pages, _ = await store._writing.call(
        lambda: store._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    )
    return int(pages)


async def test_a_close_waits_for_it_and_leaves_no_log(path: Path) -> None:
    store, alice, bob = await begin(path)
    mover: Any = Watched(store._mover)
    store._mover = mover
    last_n = await fill(store, alice) - 1
    await asyncio.to_thread(mover.begun.wait)
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)
    assert not closing.done()
    mover.may_go_on.set()
    await closing
    assert not path.with_name("server.db-wal").exists()
    await assert_holds(path, alice, bob, last_n)


@pytest.mark.parametrize("beside", [True, False])
async def test_a_log_that_cannot_be_moved_ends_the_store_at_the_first_try(
    path: Path,
    beside: bool,
) -> None:
    # The system reports a failed flush once: a second try would succeed, and pages be lost.
    store, alice, bob = await begin(path)
    failing: Any = Watched(store._mover if beside else store._connection, fails=True)
    if beside:
        store._mover = failing
    else:
        store._batches._connection = failing
    last_n = await fill(store, alice) - 1
    await moved(store)
    with pytest.raises(StoreUnwritable, match="SQLITE_IOERR_FSYNC"):
        await store.standing(alice.device_id)
    with pytest.raises(StoreUnwritable):
        await send(store, alice, "bob", last_n + 1)
    await store.aclose()
    assert failing.tries == 1
    assert path.with_name("server.db-wal").exists()
    await assert_holds(path, alice, bob, last_n)


async def test_what_is_deleted_moves_it_without_anybody_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jim.storage.sqlite.store.SETTLE_S", 0.01)
    store, alice, bob = await begin(path)
    committed = await send(store, alice, "bob", 1, text=LARGE * 3)
    assert store._move is None
    await ack(store, bob, committed.segments[-1].last)
    async with asyncio.timeout(30):
        while not store._batches.is_settled or store._batches.logged_bytes >= files.LOG_BYTES:
            await asyncio.sleep(0.01)  # a timer of the store's and two threads: nothing to wait for
    await moved(store)
    assert LARGE[:1000].encode() not in path.read_bytes()
    await store.aclose()
