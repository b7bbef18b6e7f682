"""Bring a database to the newest schema: numbered SQL files, applied once each, never changed."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.errors import StoreCorrupt, StoreTooNew
from jim.storage.sqlite.failures import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

APPLICATION_ID: Final = int.from_bytes(b"JIM1", "big")
"""In the header of every database of ours, set by the first migration."""

EPOCH_BYTES: Final = 8
"""16 hexadecimal digits: two lineages of one server never meet by chance."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    n          INTEGER PRIMARY KEY,
    sha256     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL -- ms since the epoch
) STRICT
"""


class Migration(NamedTuple):
    """One numbered step; `n` counts from 1 without gaps."""

    n: int
    sql: str

    @property
    def sha256(self) -> str:
        """The checksum that the database keeps."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """Read the steps that come with this version of the program, in their order."""
    folder = resources.files("jim.storage.sqlite") / "migrations"
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    # Universal newlines: the checksum must not depend on how the files were checked out.
    return [
        Migration(int(name.split("_")[0]), (folder / name).read_text(encoding="utf-8"))
        for name in files
    ]


def check_owner(connection: sqlite3.Connection) -> bool:
    """Tell whether the file is empty, without changing it.

    Raises:
        StoreCorrupt: it is a database of another program.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application_id == APPLICATION_ID:
        return False
    if tables:
        raise StoreCorrupt("this is the database of another program; choose another directory")
    return True


def check_known(connection: sqlite3.Connection, steps: Sequence[Migration]) -> int:
    """Compare what was applied with the steps that we know; give how many were applied.

    Raises:
        StoreTooNew: a newer version of the program has been here.
        StoreCorrupt: an applied step is not the one that we know under its number.
    """
    applied = _applied(connection)
    if len(applied) > len(steps):
        raise StoreTooNew(
            f"the database has schema {len(applied)}, this version of JIM knows {len(steps)}; "
            "install the newer version again",
            found=len(applied),
            known=len(steps),
        )
    for step, (n, sha256) in zip(steps, applied, strict=False):
        if (step.n, step.sha256) != (n, sha256):
            raise StoreCorrupt(
                f"migration {n} of the database is not the one of this version of JIM; "
                "install the version that wrote it",
                migration=n,
            )
    return len(applied)


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Apply the steps that are missing, each in one transaction together with its record.

    Raises:
        StoreTooNew: as `check_known`.
        StoreCorrupt: as `check_known`.
    """
    for step in steps[check_known(connection, steps) :]:
        with transaction(connection):
            connection.execute(_TABLE)
            for statement in _statements(step.sql):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_migrations VALUES (?, ?, ?)", (step.n, step.sha256, _now_ms())
            )


def read_epoch(connection: sqlite3.Connection) -> str:
    """Give the epoch of the database, which gets one now if it is new."""
    with transaction(connection):
        connection.execute("INSERT OR IGNORE INTO meta VALUES (1, ?, ?)", (_new_epoch(), _now_ms()))
        (epoch,) = connection.execute("SELECT epoch FROM meta").fetchone()
    return str(epoch)


def renew_epoch(connection: sqlite3.Connection) -> str:
    """Make the database the first of a new lineage, as a restored copy has to be."""
    epoch = _new_epoch()
    with transaction(connection):
        connection.execute("UPDATE meta SET epoch = ?", (epoch,))
    return epoch


def _applied(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'")
    if found.fetchone() is None:
        return []
    return connection.execute("SELECT n, sha256 FROM schema_migrations ORDER BY n").fetchall()


def _statements(sql: str) -> Iterator[str]:
    """Split a script: `executescript` would commit the transaction that it runs in."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError("a migration ends within a statement")


def _new_epoch() -> str:
    return secrets.token_hex(EPOCH_BYTES)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
