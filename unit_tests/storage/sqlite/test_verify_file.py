"""A file that cannot be looked through is told from one that can, and from each other."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.core.findings import Fault, Report
from jim.core.limits import Limits
from jim.errors import StoreError
from jim.storage.sqlite import open_store
from jim.storage.sqlite.failures import translate
from jim.storage.sqlite.files import PAGE_BYTES
from jim.storage.sqlite.verify import verify, walk
from unit_tests.support.accounts import add_account, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def fill(path: Path) -> None:
    store = await open_store(path, Limits())
    [alice] = await add_account(store, "alice")
    await send(store, alice, "alice", 1)
    await store.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    asyncio.run(fill(tmp_path / "server.db"))
    return tmp_path / "server.db"


@pytest.fixture
def plant(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def look(path: Path) -> Report:
    return verify(path, None)


def kinds(report: Report) -> list[Fault]:
    return [finding.fault for finding in report.findings]


def test_a_torn_page(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    page = PAGE_BYTES
    for start in range(4 * page, len(raw), page):
        raw[start : start + page] = bytes(page)
    path.write_bytes(raw)
    found = kinds(look(path))
    assert found
    assert set(found) <= {Fault.DAMAGED, Fault.UNREADABLE}


@pytest.mark.parametrize(
    ("content", "detail"),
    [(b"", "is empty; put a backup in its place"), (b"this is no database" * 100, "is damaged")],
)
def test_no_database_of_ours(tmp_path: Path, content: bytes, detail: str) -> None:
    path = tmp_path / "server.db"
    path.write_bytes(content)
    [found] = look(path).findings
    assert found.fault is Fault.UNREADABLE
    assert detail in found.detail
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("DROP TABLE mailbox", "a part of the database is gone (SQLITE_ERROR: no such table"),
        ("DROP TABLE schema_migrations", "a part of the database is gone; put a backup"),
        ("DELETE FROM schema_migrations WHERE n > 1", "an older version of JIM wrote it"),
        (
            "INSERT INTO schema_migrations VALUES (99, '', 0)",
            "a newer version of JIM wrote the database",
        ),
        ("UPDATE schema_migrations SET sha256 = ''", "or another version wrote it"),
        ("PRAGMA application_id = 7", "this is no database of JIM"),
    ],
)
def test_a_database_that_cannot_be_understood(
    path: Path, plant: sqlite3.Connection, statement: str, detail: str
) -> None:
    plant.execute(statement)
    [found] = [each for each in look(path).findings if each.fault is Fault.UNREADABLE]
    assert detail in found.detail


def test_advice_is_for_who_only_looks(tmp_path: Path) -> None:
    (tmp_path / "server.db").mkdir()
    [found] = look(tmp_path / "server.db").findings
    assert found.detail.endswith("server.db: this is no file")
    (tmp_path / "file").touch()
    [found] = look(tmp_path / "file" / "server.db").findings
    assert "cannot be read (Not a directory)" in found.detail
    for code in (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        error = sqlite3.OperationalError("some reason")
        error.sqlite_errorcode, error.sqlite_errorname = code, "NAME"
        assert "start again" in translate(tmp_path, error).detail
        read = translate(tmp_path, error, reading=True).detail
        assert "cannot be read (NAME: some reason)" in read
        assert "start" not in read


def test_faults_of_the_file_in_russian(tmp_path: Path) -> None:
    i18n.set_language("ru")
    path = tmp_path / "server.db"
    [gone] = look(path).findings
    path.write_bytes(b"this is no database" * 100)
    [damaged] = look(path).findings
    assert "базы данных нет" in gone.detail
    assert "база данных повреждена (SQLITE_NOTADB" in damaged.detail


def test_no_database_at_all(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        list(walk(tmp_path / "server.db", None))
    assert list(tmp_path.iterdir()) == []
