"""What survives the death of a process: a client's database and its lock, and the server's store.

A client's database is a real SQLite one in memory. Its connection outlives the process; when that
dies, an open transaction is rolled back, as SQLite does when it finds a hot log.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from jim.client import schema
from jim.client.lock import FileLock
from reliability.virtual.loop import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class _Kept(sqlite3.Connection):
    """A connection that a process may close as it likes."""

    def close(self) -> None:
        """Roll back, and stay."""
        if self.in_transaction:
            self.execute("ROLLBACK")


class ClientDisk:
    """The database of one device."""

    def __init__(self, image: bytes | None) -> None:
        """Begin with a copy of another database, or with none."""
        self._connection = sqlite3.connect(":memory:", isolation_level=None, factory=_Kept)
        self.is_made = image is not None
        if image is not None:
            self._connection.deserialize(image)
        else:
            self._connection.execute("PRAGMA synchronous = OFF")

    def open(self, path: Path) -> sqlite3.Connection:
        """Give the database to a new life of its process, making it at the first time."""
        self._connection.close()
        if not self.is_made:
            schema.migrate(self._connection, path)
            self.is_made = True
        return self._connection

    def image(self) -> bytes:
        """Copy the database."""
        return self._connection.serialize()

    def crash(self) -> None:
        """Lose what was not committed."""
        self._connection.close()

    def read(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Look into the database from outside, while its process is not in a transaction."""
        cursor = self._connection.cursor()
        cursor.row_factory = None
        return cursor.execute(statement, arguments).fetchall()

    def destroy(self) -> None:
        """Free the memory."""
        super(_Kept, self._connection).close()


class VirtualLock(FileLock):
    """A file lock between virtual processes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._name = str(path)

    def acquire(self) -> bool:
        """Take the lock unless a process that lives has it."""
        taker = VirtualLoop.current
        assert taker is not None
        holder = taker.locks.get(self._name)
        if holder is not None and not holder.dead:
            return False
        taker.locks[self._name] = taker
        return True

    def release(self) -> None:
        """Let go."""
        holder = VirtualLoop.current
        if holder is not None and holder.locks.get(self._name) is holder:
            del holder.locks[self._name]

    def wait(self) -> Iterator[None]:  # type: ignore[override]
        """Not be used here.

        Raises:
            NotImplementedError: always; only the list of servers waits, with the real lock.
        """
        raise NotImplementedError
