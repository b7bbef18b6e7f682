from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from jim.core.limits import Limits
from jim.storage.sqlite import open_store, schema
from reliability.rig import shelf
from reliability.rig.ledger import Ledger
from reliability.rig.lines import text_of
from unit_tests.support.accounts import add_account, send

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ROWS = """
INSERT INTO device VALUES (1, 1, 'a1', x''), (2, 2, 'b1', x'');
INSERT INTO sending (device_id, last_n, answers, last_mark) VALUES (1, 2, x'01', '');
"""


def store(path: Path, *waiting: str) -> Path:
    connection = sqlite3.connect(path)
    schema.migrate(connection, schema.migrations())
    connection.executescript(ROWS)
    frames = "".join(f'{{"position":1,"message":"{text_of(uid, 60)}"}}\n' for uid in waiting)
    connection.execute("INSERT INTO mailbox VALUES (2, 1, 9, ?, x'')", (frames.encode(),))
    connection.commit()
    connection.close()
    return path


def book(acked_n: int) -> Ledger:
    ledger = Ledger()
    ledger.add_device("anna", "a1")
    ledger.add_device("boris", "b1")
    for n in range(1, acked_n + 1):
        ledger.written(f"anna-{n}", "anna", "a1", "boris", "d")
        ledger.acked(f"anna-{n}", n, n)
    return ledger


def test_what_waits_is_found_in_a_copy(tmp_path: Path) -> None:
    database = store(tmp_path / "server.db", "anna-1", "anna-2")
    found = shelf.read(database, tmp_path / "copy")
    assert found.last_n == {"a1": 2}
    assert found.waiting == {"b1": {"anna-1", "anna-2"}}
    assert shelf.broken_promises(book(2), found) == []


def test_an_acknowledged_message_that_is_not_kept_breaks_the_promise(tmp_path: Path) -> None:
    found = shelf.read(store(tmp_path / "server.db", "anna-1"), tmp_path / "copy")
    broken = shelf.broken_promises(book(2), found)
    assert broken == ["anna-2 was acknowledged and is not kept for b1"]


def test_a_number_that_the_store_forgot_breaks_the_promise(tmp_path: Path) -> None:
    found = shelf.read(store(tmp_path / "server.db", "anna-1", "anna-2", "anna-3"), tmp_path / "c")
    assert shelf.broken_promises(book(3), found) == ["a1 saw ✓ for its number 3, the store has 2"]


def test_damage_and_an_empty_store_are_told_apart(tmp_path: Path) -> None:
    database = tmp_path / "server.db"
    assert shelf.read(database, tmp_path / "copy") == shelf.Shelf("ok", {}, {})
    database.write_bytes(b"this is no database, whatever its name says" * 40)
    damaged = shelf.read(database, tmp_path / "copy")
    assert "damaged" in shelf.broken_promises(book(0), damaged)[0]


async def test_what_only_the_journal_has_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jim.storage.sqlite.store.SETTLE_S", 1e6)
    current = await open_store(tmp_path / "server.db", Limits())
    [anna] = await add_account(current, "anna")
    [boris] = await add_account(current, "boris")
    await send(current, anna, "boris", 1, text=text_of("anna-1", 60))
    found = shelf.read(tmp_path / "server.db", tmp_path / "copy")
    assert found.damage == "ok"
    assert found.last_n == {anna.device: 1, boris.device: 0}
    assert found.waiting == {boris.device: {"anna-1", f"{anna.device}/1"}}
    await current.aclose()


def test_a_sealed_message_is_known_by_its_sender_and_number(tmp_path: Path) -> None:
    database = store(tmp_path / "server.db", "anna-1")
    frame = b'{"position":2,"seq":2,"from":"anna","device":"a1","n":2,"ciphertext":"1mAAAA"}\n'
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE mailbox SET frames = CAST(frames || ? AS BLOB)", (frame,))
        connection.commit()
    found = shelf.read(database, tmp_path / "copy")
    assert found.waiting == {"b1": {"anna-1", "a1/2"}}
    assert shelf.broken_promises(book(2), found) == []
