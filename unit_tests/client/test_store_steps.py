"""A store that an older version has written: a step further, it is like one of today."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim.client import sync
from jim.client.account_record import write_account
from jim.client.mailbox import MailboxStore
from jim.client.schema import MIGRATIONS, SEALED_SINCE, WALKED_SINCE, open_database
from unit_tests.client.older import turn_back
from unit_tests.client.test_store import ALICE, ME, delivery, keep, queue

if TYPE_CHECKING:
    from pathlib import Path


def shape(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Give every table and index with its columns, as SQLite understands them."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema ORDER BY name").fetchall()
        found = {name: connection.execute(f"PRAGMA table_xinfo({name})") for (name,) in names}
        shapes = {name: sorted(row[1:6] for row in rows) for name, rows in found.items()}
        shapes["steps"] = connection.execute("SELECT version FROM migrations").fetchall()
        return shapes


@pytest.mark.parametrize("version", [WALKED_SINCE - 1, SEALED_SINCE - 1])
def test_an_old_store_becomes_like_a_fresh_one(tmp_path: Path, version: int) -> None:
    fresh, old = tmp_path / "fresh.db", tmp_path / "old.db"
    for path in (fresh, old):
        open_database(path, create=True).close()
    turn_back(old, version)
    assert shape(old) != shape(fresh)
    open_database(old, create=False).close()
    assert shape(old) == shape(fresh)
    assert len(shape(old)["steps"]) == len(MIGRATIONS)


def test_what_an_old_store_has_was_not_sealed_and_is_still_known(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with contextlib.closing(open_database(path, create=True)) as connection:
        write_account(connection, ALICE)
        store = MailboxStore(connection, "alice", ME)
        keep(store, [delivery(1, "theirs")])
        stored, _ = queue(store, "mine, stored", "mine, waiting")
        store.confirm(sync.Confirm(stored.message_id, 1, 2, 9))
    turn_back(path, SEALED_SINCE - 1)
    with contextlib.closing(open_database(path, create=False)) as connection:
        store = MailboxStore(connection, "alice", ME)
        after = store.history("bob", None, 9)
        texts = [message.text for message in after]
        assert texts == ["theirs", "mine, stored", "mine, waiting"], "nothing of it is withheld"
        assert all(message.plain for message in after)
        again = delivery(2, "theirs")
        again.n = 1
        assert keep(store, [again]) == [], "it is here already"
        assert [(row.payload, message.n) for row, message in store.queued_after(0)] == [(None, 2)]
