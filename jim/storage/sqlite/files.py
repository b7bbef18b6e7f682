"""Open the database file: its place and modes, its settings, whether it is sound.

Every process that opens the database does it through here, so that no connection is ever less
durable than another. It knows nothing of what is inside, except for the schema's number.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Final

from jim.common.files import FILE_MODE, make_directory, sync_directory
from jim.errors import StoreCorrupt, StoreError, StoreUnwritable
from jim.storage.sqlite import journal, schema
from jim.storage.sqlite.failures import located, translated

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_SQLITE: Final = (3, 37, 0)
"""STRICT tables (3.37, of 2021); RETURNING is older."""

BUSY_S: Final = 30.0
"""How long a writer waits for the other process that may write, an admin command: it holds the lock
for milliseconds, so only one that is stopped in the middle of it gets anybody that far."""

CACHE_KIB: Final = 32 * 1024
"""Pages kept in memory at most, 4,096 of them: half of the largest journal, or the counters of
about 40,000 active devices."""

PAGE_BYTES: Final = 8 * 1024
"""Of a new database; one that is there keeps its own. Every page is two system calls on its way
into the log, and two more from there into the database. With windows of 64, 8 KiB with a log of
32 MiB took 8 % less of the processor than SQLite's defaults; 16 KiB are no better, and small
commits grow with them."""

LOG_BYTES: Final = 8 * 1024 * 1024
"""The log is moved into the database from this size on, beside the writer. With 32 MiB, nothing is
faster, and commits wait three times as long for the disk that takes it (10 ms and 25 ms, p99 after
messages of 16 kB)."""

FEW_PAGES: Final = 128
"""A megabyte, which takes the writer some 2 ms: less would not be worth another flush before."""

CHECKED_WHOLE_BYTES: Final = 128 * 1024 * 1024
"""Up to this size the whole file is checked at the start: half a million waiting messages, 0.3 s
from memory and a second from a slow disk. Beyond it the mailboxes, which are nearly all of it, are
left out, so that a start takes no longer; damage there is found when it is read."""


def prepare(path: Path) -> None:
    """Make the directory, 0700, and the file, 0600, whatever the umask.

    A directory that is there keeps its mode. SQLite gives its other files the mode of the main one.

    Raises:
        StoreUnwritable: either cannot be made.
    """
    try:
        make_directory(path.parent)
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        try:
            if sys.platform != "win32":
                os.fchmod(descriptor, FILE_MODE)
        finally:
            os.close(descriptor)
        if fresh:
            sync_directory(path.parent)
    except OSError as error:
        raise StoreUnwritable(
            f"{path}: cannot write: {error.strerror}; check the owner or choose another directory",
            path=str(path),
        ) from error


def open_writer(path: Path) -> sqlite3.Connection:
    """Open, check and migrate the database, with an empty journal; the file has to exist.

    Raises:
        StoreCorrupt: it is damaged, or not ours.
        StoreTooNew: a newer version of the program wrote it.
        StoreError: something else stands in the way, with the path and the reason.
    """
    connection = connect(path)
    try:
        steps = schema.migrations()
        fresh = schema.check_owner(connection)
        schema.check_known(connection, steps)
        if not fresh:
            _check_sound(connection, path)
        _make_durable(connection)
        schema.migrate(connection, steps)
        journal.fold(connection)
    except BaseException as error:
        connection.close()
        raise located(path, error) from error
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open a writing connection as every process has to: durable, checked, forgetting.

    Raises:
        StoreError: the file cannot be opened, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old, JIM needs 3.37; update the system"
        )
    settings = {
        "synchronous": "FULL",  # a power cut loses nothing acknowledged; NORMAL lost 0.9 % of it
        "fullfsync": "ON",  # macOS: flush the drive's cache too; nothing elsewhere
        "foreign_keys": "ON",
        "secure_delete": "ON",  # the server forgets: deleted frames are zeroed
        "cache_size": f"-{CACHE_KIB}",
        "page_size": f"{PAGE_BYTES}",  # without effect on a database that is there
    }
    with translated(path):
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        try:
            for name, value in settings.items():
                connection.execute(f"PRAGMA {name} = {value}")
            pages = LOG_BYTES // page_bytes(connection)
            connection.execute(f"PRAGMA wal_autocheckpoint = {pages}").fetchone()
        except BaseException:
            connection.close()
            raise
    return connection


def move_by_hand(connection: sqlite3.Connection) -> None:
    """Leave it to the caller to move the log: SQLite would do it within a commit."""
    connection.execute("PRAGMA wal_autocheckpoint = 0").fetchone()


def move_log(connection: sqlite3.Connection) -> int:
    """Move the log into the database, as far as nobody reads it; give how many pages are moved."""
    _, _, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(moved)


def move_most_of_log(connection: sqlite3.Connection) -> None:
    """Move the log beside a connection that goes on writing, until little is left of it.

    It is gone through again for what was added meanwhile. Where that has not halved, the writer is
    too fast for that, and would only make the log longer.
    """
    moved, last = 0, float("inf")
    while True:
        before, moved = moved, move_log(connection)
        added = moved - before
        if added < FEW_PAGES or added > last / 2:
            return
        last = added


def page_bytes(connection: sqlite3.Connection) -> int:
    """Give the size of a page of this database."""
    (size_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(size_bytes)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write, beside a writer that is open."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        # The first query attaches it to the log: from then on it counts as a user of the database.
        connection.execute("SELECT epoch FROM meta").fetchone()
    return connection


def _make_durable(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError("this file system does not support SQLite's write-ahead log")


def _check_sound(connection: sqlite3.Connection, path: Path) -> None:
    """Look for damage in everything, or in everything but the mailboxes of a large database."""
    tables = ["1"]  # everything, up to the first damage
    if path.stat().st_size > CHECKED_WHOLE_BYTES:
        listed = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        tables = [name for (name,) in listed if name != "mailbox"]
    for table in tables:
        (found,) = connection.execute(f"PRAGMA quick_check({table})").fetchone()
        if found != "ok":
            damage = str(found).splitlines()[0]
            raise StoreCorrupt(
                f"the database is damaged ({damage}); "
                "put a backup in its place, or move it away to begin empty"
            )
