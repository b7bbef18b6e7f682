"""Translate what SQLite and the file system raise into errors of the project."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.errors import (
    JimError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnwritable,
)
from jim.i18n import N_, _

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PRIMARY = 0xFF
"""The low byte of an extended result code is the primary one (sqlite.org/rescode.html)."""

_BY_RESULT: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_FULL: (StoreFull, N_("the disk is full; free some space")),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorrupt,
        N_("the database is damaged; move it away or restore it"),
    ),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, N_("this is no database; move it away or restore it")),
    sqlite3.SQLITE_READONLY: (StoreUnwritable, N_("the database cannot be written")),
    sqlite3.SQLITE_CANTOPEN: (StoreUnwritable, N_("the database cannot be opened")),
    sqlite3.SQLITE_PERM: (StoreUnwritable, N_("the database cannot be written")),
    sqlite3.SQLITE_BUSY: (StoreLocked, N_("another process does not let go of the database")),
    sqlite3.SQLITE_LOCKED: (StoreLocked, N_("another process does not let go of the database")),
}

_BY_ERRNO: Final[dict[int, tuple[type[StoreError], str]]] = {
    errno.ENOSPC: (StoreFull, N_("the disk is full; free some space")),
    errno.EDQUOT: (StoreFull, N_("the disk quota is used up; free some space")),
}


def store_error(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """Give the error of the project for one of a driver."""
    if isinstance(error, OSError):
        default = (StoreUnwritable, N_("the file cannot be used ({reason})"))
        cls, text = _BY_ERRNO.get(error.errno or 0, default)
        reason = error.strerror or str(error)
    else:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        cls, text = _BY_RESULT.get(code, (StoreError, N_("the database failed ({reason})")))
        reason = str(error)
    return cls(f"{path}: {_(text).format(reason=reason)}", path=str(path))


@contextlib.contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Raise errors of the project only."""
    try:
        yield
    except JimError:
        raise
    except (sqlite3.Error, OSError) as error:
        raise store_error(error, path) from error
