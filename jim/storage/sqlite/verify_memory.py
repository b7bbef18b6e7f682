"""What `verify` compares a mailbox with: the people, and every message that was seen before.

The messages of all mailboxes are remembered in a temporary database of SQLite's own, which moves to
the disk when it grows, so that their number does not matter.
"""

from __future__ import annotations

import contextlib
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from jim.core.audit import Author, Talk
from jim.storage.sqlite.packing import unpack_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.core.model import Stored

CACHED: Final = 16_384
"""Authors and conversations in memory, at most 9 kB each with a full window of answers: 150 MB at
worst, of a server on which that many devices have sent what still waits."""

_AUTHOR: Final = """
SELECT d.device_id, s.last_n, s.answers
FROM account AS a JOIN device AS d USING (account_id) JOIN sending AS s USING (device_id)
WHERE a.name = ? AND d.device = ?
"""
_TALK: Final = """
SELECT c.conversation_id, c.last_seq, w.name
FROM account AS one JOIN account AS two
JOIN conversation AS c
  ON c.low = min(one.account_id, two.account_id) AND c.high = max(one.account_id, two.account_id)
LEFT JOIN member AS m
  ON m.account_id IN (c.low, c.high) AND m.conversation_id = c.conversation_id AND m.wrote
LEFT JOIN account AS w ON w.account_id = m.account_id
WHERE one.name = ? AND two.name = ?
"""
_SEEN: Final = """
CREATE TABLE seen (kind INTEGER, whose INTEGER, number INTEGER, digest BLOB,
    PRIMARY KEY (kind, whose, number)) WITHOUT ROWID
"""
_REMEMBER: Final = "INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)"
_RECALL: Final = "SELECT digest FROM seen WHERE kind = ? AND whose = ? AND number = ?"

_PLACE: Final = 0
_NUMBER: Final = 1
"""The two kinds of what is remembered: places in conversations, numbers of devices."""


class Memory:
    """The `jim.core.audit.Directory` of one database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take the connection that reads the database."""
        self._connection = connection
        # An empty name is a database of SQLite's own: in memory first, on the disk when it grows.
        self._seen = sqlite3.connect("", isolation_level=None)
        self._seen.execute(_SEEN)
        self._seen.execute("BEGIN")
        self._authors = lru_cache(CACHED)(self._author)
        self._talks = lru_cache(CACHED)(self._talk)

    def close(self) -> None:
        """Forget everything."""
        self._seen.close()

    def author(self, name: str, device: str) -> Author | None:
        """Give the device of an account, None if there is no such account or device."""
        return self._authors(name, device)

    def talk(self, name: str, other: str) -> Talk | None:
        """Give the conversation of two accounts, None if they have none."""
        return self._talks(name, other)

    def agrees_place(self, conversation_id: int, seq: int, digest: bytes) -> bool:
        """Remember which message has a place; False if it was another one before."""
        return self._agrees(_PLACE, conversation_id, seq, digest)

    def agrees_number(self, device_id: int, n: int, digest: bytes) -> bool:
        """Remember which message has a number; False if it was another one before."""
        return self._agrees(_NUMBER, device_id, n, digest)

    def _agrees(self, kind: int, whose: int, number: int, digest: bytes) -> bool:
        if self._seen.execute(_REMEMBER, (kind, whose, number, digest)).rowcount:
            return True
        (before,) = self._seen.execute(_RECALL, (kind, whose, number)).fetchone()
        return bool(before == digest)

    def _author(self, name: str, device: str) -> Author | None:
        row = self._connection.execute(_AUTHOR, (name, device)).fetchone()
        if row is None:
            return None
        device_id, last_n, packed = row
        answers: Sequence[Stored] = ()
        with contextlib.suppress(ValueError):  # found already, with the device itself
            answers = tuple(unpack_answers(packed, last_n))
        return Author(device_id, last_n, answers)

    def _talk(self, name: str, other: str) -> Talk | None:
        rows = self._connection.execute(_TALK, (name, other)).fetchall()
        if not rows:
            return None
        writers = frozenset(writer for *_, writer in rows if writer is not None)
        return Talk(rows[0][0], rows[0][1], writers)
