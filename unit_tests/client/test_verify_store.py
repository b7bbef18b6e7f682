"""A store that cannot be looked through is told from one that can, and none is passed over."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.client.account_record import AccountRecord, Stage, write_account
from jim.client.local_accounts import ACCOUNTS, KEY_FILE, STORE_FILE
from jim.client.mailbox import MailboxStore
from jim.client.schema import open_database
from jim.client.verify import Kind, Report
from jim.client.verify_store import verify_account, verify_data_directory, verify_store
from jim.errors import StoreError
from jim.protocol.messages import Delivery
from unit_tests.client.test_verify import faults, plant

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["plant"]  # a fixture

ALICE = AccountRecord(name="alice", device="a" * 16, stage=Stage.REGISTERED)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make an account that has received enough for its store to have some pages."""
    directory = tmp_path / "alice"
    with contextlib.closing(open_database(directory / STORE_FILE, create=True)) as connection:
        write_account(connection, ALICE)
        store = MailboxStore(connection, ALICE.name, ALICE.device)
        store.move_cursor("epoch", 0)
        came = [
            Delivery(
                position=place,
                seq=place,
                sender="bob",
                device="b" * 16,
                n=place,
                to="alice",
                time=1,
                message="some text " * 100,
            )
            for place in range(1, 21)
        ]
        store.keep(came)
    assert verify_account(directory).findings == []
    return directory


def test_a_torn_page(place: Path) -> None:
    path = place / STORE_FILE
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytearray(path.read_bytes())
    for start in range(3 * 4096, len(raw), 4096):
        raw[start : start + 4096] = bytes(4096)
    path.write_bytes(raw)
    found = faults(place)
    assert found
    assert {finding.kind for finding in found} <= {Kind.DAMAGED, Kind.UNREADABLE}


@pytest.mark.parametrize(
    ("content", "detail"), [(b"", "is empty"), (b"this is no database" * 100, "no database")]
)
def test_no_store_of_ours(tmp_path: Path, content: bytes, detail: str) -> None:
    (tmp_path / STORE_FILE).write_bytes(content)
    [found] = verify_account(tmp_path).findings
    assert found.kind is Kind.UNREADABLE
    assert detail in found.detail


def test_a_table_is_gone(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute("DROP TABLE notices")
    [found] = faults(place)
    assert (found.kind, "notices" in found.detail) == (Kind.UNREADABLE, True)


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("no directory")
    [found] = verify_account(tmp_path / "alice").findings
    assert found.kind is Kind.UNREADABLE


def test_a_store_in_russian(tmp_path: Path) -> None:
    i18n.set_language("ru")
    [found] = verify_account(tmp_path).findings
    assert "хранилища нет" in found.detail
    (tmp_path / STORE_FILE).mkdir()
    [found] = verify_account(tmp_path).findings
    assert "сбой базы данных" in found.detail


def test_an_account_without_a_store_is_not_passed_over(tmp_path: Path) -> None:
    for name, file in (("alice", KEY_FILE), ("bob", STORE_FILE), ("empty", "lock")):
        directory = tmp_path / ACCOUNTS / "server" / name
        directory.mkdir(parents=True)
        (directory / file).touch()
    reports = verify_data_directory(tmp_path)
    assert [directory.name for directory in reports] == ["alice", "bob"]
    assert not any(report.is_complete for report in reports.values())


def test_a_store_of_nobody(tmp_path: Path) -> None:
    open_database(tmp_path / STORE_FILE, create=True).close()
    [found] = verify_account(tmp_path).findings
    assert "belongs to no account" in found.detail


def test_a_store_of_a_newer_version(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute("INSERT INTO migrations VALUES (99)")
    [found] = verify_account(place).findings
    assert "newer version" in found.detail


def test_no_store_at_all(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        verify_store(tmp_path / STORE_FILE, Report())
    assert list(tmp_path.iterdir()) == []
