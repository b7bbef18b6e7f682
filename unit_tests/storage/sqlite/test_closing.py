"""The end of a store: the write-ahead log is moved into the database, or left and reported."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from jim.core.limits import Limits
from jim.errors import StoreError, StoreUnwritable
from jim.storage.sqlite import open_store
from jim.storage.sqlite.writing import BatchWriter
from unit_tests.support.accounts import add_account, send
from unit_tests.support.cuts import entries

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


async def begin(path: Path) -> tuple[SqliteStore, Identity, Identity]:
    store = await open_store(path, Limits())
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1)
    return store, alice, bob


async def assert_intact(path: Path, alice: Identity, bob: Identity, last_n: int = 1) -> None:
    store = await open_store(path, Limits())
    assert (await store.standing(alice.device_id)).last_n == last_n
    assert (await store.standing(bob.device_id)).position == last_n
    await store.aclose()


class Unmovable:
    """A connection that cannot move its log, and counts how often it is asked to."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if "wal_checkpoint" not in statement:
            return self._connection.execute(statement, *arguments)
        self.tries += 1
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error


async def test_a_log_that_cannot_be_moved_at_the_end_is_reported_and_left(path: Path) -> None:
    # A second try might seem to succeed: the system reports a failed fsync once, and forgets it.
    store, alice, bob = await begin(path)
    connection: Any = Unmovable(store._connection)
    store._connection = connection
    before = path.read_bytes()
    with pytest.raises(StoreUnwritable, match=r"server\.db: .*SQLITE_IOERR_FSYNC.*nothing is lost"):
        await store.aclose()
    assert connection.tries == 1
    assert path.read_bytes() == before
    assert path.with_name("server.db-wal").stat().st_size > 0
    await store.aclose()
    await assert_intact(path, alice, bob)


async def test_a_bug_while_the_journal_is_settled_is_reported_and_leaves_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, alice, bob = await begin(path)

    def fail(_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(BatchWriter, "settle", fail)
    with pytest.raises(StoreError, match=r"server\.db: .*a bug.*nothing is lost"):
        await store.aclose()
    monkeypatch.undo()
    await store.aclose()
    assert entries(path)
    await assert_intact(path, alice, bob)


async def test_a_good_end_leaves_no_log(path: Path) -> None:
    store, alice, bob = await begin(path)
    await store.aclose()
    assert not path.with_name("server.db-wal").exists()
    await assert_intact(path, alice, bob)


async def test_a_log_that_another_process_reads_is_no_failure(path: Path) -> None:
    store, alice, bob = await begin(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM mailbox").fetchone()
        await send(store, alice, "bob", 2)
        await store.aclose()
    await assert_intact(path, alice, bob, 2)
