"""What SQLite reports, as the errors of this project: the one place that reads its result codes."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.errors import StoreCorrupt, StoreError, StoreFull, StoreUnwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIMARY: Final = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org/rescode.html)."""

_UNWRITABLE: Final = "cannot write ({reason}); check the disk and the owner, then start again"
_CORRUPT: Final = (
    "the database is damaged ({reason}); put a backup in its place, or move it away to begin empty"
)

_CLASSES: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_FULL: (StoreFull, "the disk is full; make room and start again"),
    sqlite3.SQLITE_IOERR: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_READONLY: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_CANTOPEN: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_PERM: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, _CORRUPT),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, _CORRUPT),
}


def translate(path: Path, error: BaseException) -> StoreError:
    """Word an error of the driver, or a bug in our own code, for whoever runs the server."""
    if isinstance(error, StoreError):
        return error
    reason = f"{type(error).__name__}: {error}"
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StoreError(f"{path}: the store failed ({reason})", path=str(path))
    name = getattr(error, "sqlite_errorname", "")
    cls, text = _CLASSES.get(code & _PRIMARY, (StoreError, "the store failed ({reason})"))
    detail = text.format(reason=f"{name}: {error}")
    return cls(f"{path}: {detail}", path=str(path), reason=name)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raise what SQLite raises inside as a `StoreError`; other exceptions pass."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(path, error) from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what happens inside, or roll all of it back and raise; nothing is tried twice."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back itself; a failing rollback changes nothing.
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise
