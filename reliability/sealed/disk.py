"""A device's disk: the real store in memory, and a death at any commit.

SQLite keeps a database in memory as it does one in a file, transactions included; only the flush is
not there, which `reliability.faults` breaks. What a transaction leaves undone is really undone.
"""

from __future__ import annotations

import enum
import sqlite3
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jim.client.account_store import AccountStore
from jim.client.encryption.vault import pickle_key
from jim.client.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.crypto.keys import SigningKey

NOWHERE: Final = Path("memory")
"""What stands for a path in texts."""


class Moment(enum.Enum):
    """Where a process dies, seen from a commit."""

    BEFORE = enum.auto()
    INSIDE = enum.auto()
    """Everything of the transaction was done but the commit: it is undone."""
    AFTER = enum.auto()
    """It is on the disk, and the process did not live to hear of it."""


class Died(BaseException):
    """The process is gone; nothing of it may catch this."""


class Disk:
    """One database, whatever process works with it."""

    def __init__(self, key: SigningKey, store_id: str) -> None:
        """Make an empty store under an id that is chosen, so that runs are alike."""
        self._load(_empty())
        self.connection.execute("UPDATE store SET id = ?", (store_id,))
        self.store = AccountStore(self.connection, pickle_key(key))
        self.commits = 0
        """Of all processes together."""
        self.dies_at: tuple[int, Moment] | None = None
        """The number of the commit at which the process dies."""

    def _load(self, database: bytes) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.deserialize(database)

    def reopen(self, key: SigningKey) -> None:
        """Begin a new process with a key: nothing is left but what was committed."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.store = AccountStore(self.connection, pickle_key(key))
        self.dies_at = None

    def copy(self) -> bytes:
        """Give all of it, as a backup does."""
        return self.connection.serialize()

    def restore(self, copy: bytes) -> None:
        """Put a copy in place; `reopen` is next."""
        self.connection.close()
        self._load(copy)

    def change(
        self, work: Callable[[AccountStore], Any], seen: Callable[[Any], object] | None = None
    ) -> Any:
        """Run a transaction; `seen` hears of it as soon as it is durable, even if nobody else does.

        Raises:
            Died: the process did.
        """
        self.commits += 1
        moment = self.dies_at[1] if self.dies_at and self.dies_at[0] == self.commits else None
        if moment is Moment.BEFORE:
            raise Died
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.store)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        if moment is Moment.INSIDE:
            self.connection.execute("ROLLBACK")
            raise Died
        self.connection.execute("COMMIT")
        if seen is not None:
            seen(result)
        if moment is Moment.AFTER:
            raise Died
        return result

    def die_soon(self, commits: int, moment: Moment) -> None:
        """Let the process die at the so-manieth commit from now, the next one being the first."""
        self.dies_at = (self.commits + commits, moment)

    def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Read something that the store itself gives to nobody."""
        return [tuple(row) for row in self.connection.execute(statement, arguments)]


@cache
def _empty() -> bytes:
    """Give a database with all its tables: migrating one takes longer than a whole short run."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, NOWHERE)
    return connection.serialize()
