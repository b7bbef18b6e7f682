"""What an administrator's command does to the database by itself, in a process of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from jim.errors import StoreError
from jim.storage.lock_file import LockFile
from jim.storage.sqlite import accounts, files, schema
from jim.storage.sqlite.failures import translated

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from jim.core.model import InviteRecord

LOCK_NAME = "lock"
"""The lock of a data directory; its holder is the one server that works there."""


def add_invite_offline(path: Path, invite: InviteRecord, now_ms: int) -> None:
    """Keep an invite, durably, whether a server works with the database or not.

    Blocks for at most `files.BUSY_S` while a server commits. A database that is missing is made.

    Raises:
        StoreTooNew: another version of the program wrote the database.
        StoreError: the database cannot be used.
    """
    if not path.exists():
        create(path)
    with _opened(path) as connection:
        accounts.add_invite(connection, invite, now_ms)


def reissue_epoch(path: Path) -> str:
    """Give the database a new epoch, so that clients resync: due after a restore. Give the epoch.

    Raises:
        StoreLocked: a server works with the database.
        StoreError: the database cannot be used.
    """
    with _locked(path), _opened(path) as connection:
        return schema.renew_epoch(connection)


def create(path: Path) -> None:
    """Make a database that is missing, or bring an old one to the newest schema.

    Raises:
        StoreLocked: a server works with the database.
        StoreError: the database cannot be used.
    """
    files.prepare(path)
    with _locked(path), contextlib.closing(files.open_writer(path)) as connection:
        schema.read_epoch(connection)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = LockFile(path.with_name(LOCK_NAME))
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database as it is: it is neither made nor migrated here."""
    if not path.exists():
        raise StoreError(f"{path}: there is no database", path=str(path))
    connection = files.connect(path)
    with translated(path), contextlib.closing(connection):
        steps = schema.migrations()
        if schema.check_known(connection, steps) != len(steps):
            raise StoreError(
                f"{path}: the database is of another version; start the server once to update it",
                path=str(path),
            )
        yield connection
