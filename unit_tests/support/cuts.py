"""A database that two people talk over, and what a power cut leaves of one: at one moment, or at
every moment of a call."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

from jim.core.limits import Limits
from jim.storage.sqlite import journal, open_store
from unit_tests.support.accounts import add_account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore


async def opened(
    path: Path, limits: Limits | None = None
) -> tuple[SqliteStore, Identity, Identity]:
    """Open a new store with alice and bob."""
    store = await open_store(path, limits or Limits())
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    return store, alice, bob


def cut_off(path: Path, name: str) -> Path:
    """Take what a power cut right now would leave behind."""
    there = path.parent / name
    there.mkdir()
    for part in ("", "-wal"):
        shutil.copy(f"{path}{part}", there / f"server.db{part}")
    return there / "server.db"


class Cuts:
    """Takes what is on the disk whenever a statement of a connection has changed it."""

    def __init__(self, path: Path) -> None:
        """Take the path of the database; nothing is watched yet."""
        self._path = path
        self._seen: list[bytes] = []
        self._count = 0
        self.left: list[Path] = []
        """Databases, each as a cut has left it, oldest first."""

    def watch(self, connection: sqlite3.Connection) -> None:
        """Look before each statement from now on."""
        self._seen = self._read()
        connection.set_trace_callback(lambda _: self.look())

    def look(self) -> None:
        """Take another cut, if there is anything new."""
        now = self._read()
        if now != self._seen:
            self._seen = now
            self._count += 1
            self.left.append(cut_off(self._path, f"cut{self._count}"))

    def _read(self) -> list[bytes]:
        wal = self._path.with_name(f"{self._path.name}-wal")
        return [self._path.read_bytes(), wal.read_bytes() if wal.exists() else b""]


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database as anybody could."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def entries(path: Path) -> list[journal.Entry]:
    """Read the journal."""
    with database(path) as connection:
        rows = connection.execute("SELECT body FROM journal ORDER BY commit_id").fetchall()
    return [journal._decode(body) for (body,) in rows]
