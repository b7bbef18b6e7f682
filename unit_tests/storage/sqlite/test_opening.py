"""Opening a database: what is made, with which modes and settings, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from jim.core.limits import Limits
from jim.errors import (
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreTooNew,
    StoreUnwritable,
)
from jim.storage.sqlite import files, open_store
from unit_tests.support.accounts import ack, add_account, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.storage.sqlite import SqliteStore

LIMITS = Limits()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some" / "where" / "server.db"


async def make(path: Path, messages: int = 0) -> None:
    """Leave a database behind, with some content."""
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    await add_account(store, "bob")
    for n in range(1, messages + 1):
        await send(store, alice, "bob", n, text="x" * 2_000)
    await store.aclose()


def change(path: Path, sql: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(sql)
    connection.close()


async def refuse(path: Path, error: type[StoreError]) -> str:
    """Expect the opening to fail with one line that names the file; it must change nothing."""
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(error) as caught:
        await open_store(path, LIMITS)
    assert type(caught.value) is error
    text = str(caught.value)
    assert str(path) in text or str(path.parent) in text
    assert "\n" not in text
    if path.is_file():
        assert path.read_bytes() == before
    return text


# --- what is made ---------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
@pytest.mark.usefixtures("umask")
async def test_nobody_else_can_look_in_whatever_the_umask(path: Path) -> None:
    store = await open_store(path, LIMITS)
    await add_account(store, "alice")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    await store.aclose()
    assert set(modes) == {"server.db", "server.db-wal", "server.db-shm", "lock"}
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert modes["server.db"] == 0o600
    for directory in (path.parent, path.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
async def test_a_directory_that_is_there_keeps_its_mode_and_a_loose_file_does_not(
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o750)
    path = tmp_path / "server.db"
    await make(path)
    path.chmod(0o644)
    await (await open_store(path, LIMITS)).aclose()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def ask(store: SqliteStore, pragma: str) -> Any:
    return await store._writing.call(
        lambda: store._connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    )


async def test_the_writing_connection_is_durable_and_forgets(path: Path) -> None:
    store = await open_store(path, LIMITS)
    expected = {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "secure_delete": 1,
        "wal_autocheckpoint": 0,  # the log is moved beside it
        "fullfsync": 1,
    }
    assert {name: await ask(store, name) for name in expected} == expected
    await store.aclose()


async def test_an_administrators_connection_is_just_as_durable(path: Path) -> None:
    await make(path)
    connection = files.connect(path)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
    connection.close()


async def test_the_reading_connection_cannot_write(path: Path) -> None:
    store = await open_store(path, LIMITS)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await store._reading.call(lambda: store._reader.execute("DELETE FROM meta"))
    await store.aclose()


async def test_what_was_collected_is_gone_from_the_file(path: Path) -> None:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    secret = "between alice and bob only " * 400  # long enough for pages of its own
    await send(store, alice, "bob", 1, 2, 3, text=secret)
    await ack(store, bob, 3)
    await store.aclose()
    assert b"between alice and bob" not in path.read_bytes()
    assert not path.with_name("server.db-wal").exists()


async def test_opening_blocks_nothing_on_the_loop(path: Path, no_blocking_calls: None) -> None:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    await send(store, alice, "alice", 1)
    await store.load_after(alice.device_id, 0, 1)
    await store.aclose()


# --- what is refused ------------------------------------------------------------------------------


async def test_a_second_server_in_the_same_directory(path: Path) -> None:
    store = await open_store(path, LIMITS)
    with pytest.raises(StoreLocked) as caught:
        await open_store(path, LIMITS)
    assert caught.value.fields["pid"] == os.getpid()
    # The first one is not disturbed, and the place is free afterwards.
    await add_account(store, "alice")
    await store.aclose()
    await (await open_store(path, LIMITS)).aclose()


async def test_a_text_file(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("I am no database, but I am longer than a header of a hundred bytes." * 100)
    assert "damaged" in await refuse(path, StoreCorrupt)


async def test_the_database_of_another_program(path: Path) -> None:
    path.parent.mkdir(parents=True)
    change(path, "CREATE TABLE recipe (cake TEXT)")
    assert "another program" in await refuse(path, StoreCorrupt)


@pytest.mark.parametrize("pages", [[2], [3, 4, 5], range(6, 40)])
async def test_a_damaged_database(path: Path, pages: list[int]) -> None:
    await make(path, messages=100)
    with path.open("r+b") as file:
        for page in pages:
            file.seek(files.PAGE_BYTES * page)
            file.write(b"\xa5" * files.PAGE_BYTES)
    text = await refuse(path, StoreCorrupt)
    assert "backup" in text


async def test_a_database_that_was_cut_short(path: Path) -> None:
    await make(path, messages=100)
    os.truncate(path, files.PAGE_BYTES * 20)
    assert "backup" in await refuse(path, StoreCorrupt)


async def test_a_large_database_is_checked_without_its_mailboxes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(path, messages=100)
    connection = sqlite3.connect(path)
    page_of = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    [(mailbox,)] = connection.execute(page_of, ("mailbox",))
    [(member,)] = connection.execute(page_of, ("member",))
    connection.close()
    monkeypatch.setattr(files, "CHECKED_WHOLE_BYTES", 1)
    with path.open("r+b") as file:
        file.seek(files.PAGE_BYTES * (mailbox - 1))
        file.write(b"\xa5" * files.PAGE_BYTES)
    store = await open_store(path, LIMITS)
    account = await store.find_account("bob")
    assert account is not None
    with pytest.raises(StoreCorrupt):
        await store.load_after(account.devices[0].device_id, 0, 1)
    await store.aclose()
    with path.open("r+b") as file:
        file.seek(files.PAGE_BYTES * (member - 1))
        file.write(b"\xa5" * files.PAGE_BYTES)
    with pytest.raises(StoreCorrupt):
        await open_store(path, LIMITS)


async def test_a_newer_schema(path: Path) -> None:
    await make(path)
    change(path, "INSERT INTO schema_migrations SELECT max(n) + 1, 'x', 1 FROM schema_migrations")
    assert "newer" in await refuse(path, StoreTooNew)


async def test_a_migration_that_was_changed(path: Path) -> None:
    await make(path)
    change(path, "UPDATE schema_migrations SET sha256 = 'another'")
    assert "migration 1" in await refuse(path, StoreCorrupt)


async def test_a_directory_that_is_a_file(path: Path) -> None:
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("in the way")
    await refuse(path, StoreUnwritable)


async def test_a_file_that_is_a_directory(path: Path) -> None:
    path.mkdir(parents=True)
    await refuse(path, StoreUnwritable)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root ignores modes")
async def test_a_directory_that_cannot_be_written(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o500)
    await refuse(path, StoreUnwritable)


async def test_an_sqlite_that_is_too_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreError, match="too old"):
        await open_store(path, LIMITS)


async def test_after_a_refusal_the_lock_is_free(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("no database" * 100)
    await refuse(path, StoreCorrupt)
    path.unlink()
    await (await open_store(path, LIMITS)).aclose()


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    store = await open_store(path, LIMITS)
    assert len(store.epoch) == 16
    await store.aclose()
