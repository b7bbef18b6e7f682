from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim.errors import StoreCorrupt, StoreTooNew
from jim.storage.sqlite import schema
from jim.storage.sqlite.schema import Migration, migrate, migrations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NEXT = len(migrations()) + 1
EXTRA = Migration(
    NEXT,
    "ALTER TABLE account ADD COLUMN note TEXT;\n"
    "CREATE TABLE extra (a TEXT NOT NULL CHECK (a <> ';')) STRICT;\n"
    "CREATE TRIGGER watch AFTER INSERT ON extra BEGIN\n  DELETE FROM extra; SELECT 1;\nEND;\n",
)
BROKEN = Migration(NEXT, "CREATE TABLE half (a TEXT) STRICT;\nCREATE TABLE account (b TEXT);\n")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "server.db", isolation_level=None)
    yield connection
    connection.close()


def shape(connection: sqlite3.Connection) -> list[tuple[object, ...]]:
    """Give everything that makes up a schema: objects, their columns, their keys."""
    rows: list[tuple[object, ...]] = []
    objects = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    for row in connection.execute(objects).fetchall():
        rows.append(row)
        if row[0] == "table":
            for pragma in ("table_xinfo", "index_list", "foreign_key_list"):
                rows += connection.execute(f"PRAGMA {pragma}({row[1]})").fetchall()
    rows += connection.execute("PRAGMA application_id").fetchall()
    return rows


def upgraded(path: Path, steps: Sequence[Migration], start: int) -> list[tuple[object, ...]]:
    """Make a database with the first `start` steps, upgrade it to all of them, give its shape."""
    old = sqlite3.connect(path, isolation_level=None)
    migrate(old, steps[:start])
    old.close()
    new = sqlite3.connect(path, isolation_level=None)
    migrate(new, steps)
    try:
        return shape(new)
    finally:
        new.close()


@pytest.mark.parametrize("steps", [migrations(), [*migrations(), EXTRA]], ids=["real", "one more"])
def test_an_old_database_upgraded_equals_a_fresh_one(
    tmp_path: Path, steps: list[Migration]
) -> None:
    fresh = upgraded(tmp_path / "fresh.db", steps, len(steps))
    assert len(fresh) > 20
    for start in range(len(steps)):
        assert upgraded(tmp_path / f"{start}.db", steps, start) == fresh


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    assert [step.n for step in migrations()] == list(range(1, NEXT))


def test_every_table_is_strict(connection: sqlite3.Connection) -> None:
    migrate(connection, migrations())
    tables = connection.execute("PRAGMA table_list").fetchall()
    ours = [row for row in tables if not row[1].startswith("sqlite_")]
    assert len(ours) > 8
    assert all(row[5] for row in ours)


def test_a_step_that_fails_leaves_nothing_of_itself(connection: sqlite3.Connection) -> None:
    migrate(connection, migrations())
    before = shape(connection)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, [*migrations(), BROKEN])
    assert shape(connection) == before
    migrate(connection, [*migrations(), EXTRA])


def test_migrating_again_changes_nothing(connection: sqlite3.Connection) -> None:
    migrate(connection, migrations())
    before = shape(connection)
    applied = connection.execute("SELECT * FROM schema_migrations").fetchall()
    migrate(connection, migrations())
    assert shape(connection) == before
    assert connection.execute("SELECT * FROM schema_migrations").fetchall() == applied


def test_a_newer_schema_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, [*migrations(), EXTRA])
    with pytest.raises(StoreTooNew) as caught:
        migrate(connection, migrations())
    assert caught.value.fields == {"found": NEXT, "known": NEXT - 1}


def test_a_changed_step_is_refused(connection: sqlite3.Connection) -> None:
    migrate(connection, migrations())
    first = migrations()[0]
    with pytest.raises(StoreCorrupt, match="migration 1"):
        migrate(connection, [Migration(1, first.sql + "\n-- changed\n"), *migrations()[1:]])


def test_an_unfinished_statement_is_refused(connection: sqlite3.Connection) -> None:
    with pytest.raises(ValueError, match="statement"):
        migrate(connection, [*migrations(), Migration(NEXT, "CREATE TABLE a (b TEXT)")])


def test_the_epoch_is_random_and_stays(tmp_path: Path) -> None:
    epochs = set()
    for name in ("one.db", "two.db"):
        connection = sqlite3.connect(tmp_path / name, isolation_level=None)
        migrate(connection, migrations())
        epoch = schema.read_epoch(connection)
        assert schema.read_epoch(connection) == epoch
        epochs |= {epoch, schema.renew_epoch(connection)}
        assert schema.read_epoch(connection) != epoch
        connection.close()
    assert len(epochs) == 4


def test_a_device_from_before_marks_keeps_its_number_and_has_none(
    connection: sqlite3.Connection,
) -> None:
    migrate(connection, migrations()[:1])
    connection.execute("INSERT INTO sending VALUES (1, 7, x'01')")
    migrate(connection, migrations())
    assert connection.execute("SELECT last_n, last_mark FROM sending").fetchall() == [(7, "")]
