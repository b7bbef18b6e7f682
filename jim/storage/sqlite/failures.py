"""What SQLite reports, as the errors of this project: the one place that reads its result codes."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.errors import StoreCorrupt, StoreError, StoreFull, StoreUnwritable
from jim.i18n import N_, _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIMARY: Final = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org/rescode.html)."""

_UNWRITABLE: Final = N_("cannot write ({reason}); check the disk and the owner, then start again")
_UNREADABLE: Final = N_("cannot be read ({reason}); check the disk, the owner and the rights")
_CORRUPT: Final = N_(
    "the database is damaged ({reason}); put a backup in its place, or move it away to begin empty"
)
_FAILED: Final = (StoreError, N_("the store failed ({reason})"))

_CLASSES: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_FULL: (StoreFull, N_("the disk is full; make room and start again")),
    sqlite3.SQLITE_IOERR: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_READONLY: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_CANTOPEN: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_PERM: (StoreUnwritable, _UNWRITABLE),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, _CORRUPT),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, _CORRUPT),
}

_READING: Final[dict[int, tuple[type[StoreError], str]]] = {
    **_CLASSES,
    sqlite3.SQLITE_FULL: (StoreFull, N_("the disk for temporary files is full; make room")),
    sqlite3.SQLITE_IOERR: (StoreError, _UNREADABLE),
    sqlite3.SQLITE_READONLY: (StoreError, _UNREADABLE),
    sqlite3.SQLITE_CANTOPEN: (StoreError, _UNREADABLE),
    sqlite3.SQLITE_PERM: (StoreError, _UNREADABLE),
    sqlite3.SQLITE_ERROR: (
        StoreCorrupt,
        N_("a part of the database is gone ({reason}); put a backup in its place"),
    ),
}
"""The same for who only looks, and starts nothing; of its queries SQLite understands every one, so
that an error in one is a table or a column that is not there."""


def translate(path: Path, error: BaseException, *, reading: bool = False) -> StoreError:
    """Word an error of the driver, or a bug in our own code, for whoever runs the server."""
    if isinstance(error, StoreError):
        return error
    reason = f"{type(error).__name__}: {error}"
    cls, text = _FAILED
    name = ""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        name = getattr(error, "sqlite_errorname", "")
        reason = f"{name}: {error}"
        cls, text = (_READING if reading else _CLASSES).get(code & _PRIMARY, _FAILED)
    fields = {"path": str(path), "reason": name} if name else {"path": str(path)}
    return cls(f"{path}: {_(text).format(reason=reason)}", **fields)


def located(path: Path, error: BaseException) -> BaseException:
    """Say in the error which file it is about."""
    if isinstance(error, sqlite3.Error):
        return translate(path, error)
    if isinstance(error, StoreError) and str(path) not in error.detail:
        fields = {**error.fields, "path": str(path)}
        return type(error)(f"{path}: {error.detail}", **fields)
    return error


@contextlib.contextmanager
def translated(path: Path, *, reading: bool = False) -> Iterator[None]:
    """Raise what SQLite raises inside as a `StoreError`; other exceptions pass."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(path, error, reading=reading) from error


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
