"""What is counted for each device of others (and of our own): nothing gets lost without a gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from jim.client.encryption.content import MAX_VOIDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

MAX_MISSING: Final = 1000
"""Counts of a device that are noted as missing, the latest ones: counts far ahead (a liar's) must
not fill the disk."""

_BEGIN: Final = "INSERT OR IGNORE INTO peers (name, device) VALUES (?, ?)"
_PEER: Final = "SELECT sent, voids, received, repaired_ms FROM peers WHERE name = ? AND device = ?"
_COUNT: Final = """
    INSERT INTO peers (name, device, sent) VALUES (?, ?, 1)
    ON CONFLICT (name, device) DO UPDATE SET sent = sent + 1
    RETURNING sent, voids
"""
_RECEIVED: Final = "SELECT received, unopened FROM peers WHERE name = ? AND device = ?"
_RECEIVE: Final = """
    INSERT INTO peers (name, device, received) VALUES (?1, ?2, ?3)
    ON CONFLICT (name, device) DO UPDATE SET received = ?3, unopened = 0
"""
_FORGET_COUNT: Final = (
    "DELETE FROM missing WHERE name = ? AND device = ? AND count = ? RETURNING count"
)
_FORGET_OLD: Final = """
    DELETE FROM missing WHERE name = ? AND device = ? AND count <= (
        SELECT count FROM missing WHERE name = ? AND device = ?
        ORDER BY count DESC LIMIT 1 OFFSET ?)
"""

_decode_counts = msgspec.json.Decoder(list[int]).decode


class Peers:
    """The counts of every device that something was sealed for, or came from."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take the store's connection."""
        self._sql = connection

    # --- sealing ----------------------------------------------------------------------------------

    def next_count(self, name: str, device: str, message_id: int) -> tuple[int, list[int]]:
        """Take the next count for a message; also gives what was given up before."""
        [(count, voids)] = self._sql.execute(_COUNT, (name, device)).fetchall()
        self._sql.execute(
            "INSERT INTO sealed VALUES (?, ?, ?, ?)", (name, device, count, message_id)
        )
        return count, _decode_counts(voids)

    def give_up(self, message_id: int) -> None:
        """Note that nothing will come with the counts that a message had."""
        found = self._sql.execute(
            "DELETE FROM sealed WHERE message_id = ? RETURNING name, device, count", (message_id,)
        )
        for name, device, count in found.fetchall():
            _, voids, _, _ = self._sql.execute(_PEER, (name, device)).fetchone()
            kept = [*_decode_counts(voids), count][-MAX_VOIDS:]
            self._sql.execute(
                "UPDATE peers SET voids = ? WHERE name = ? AND device = ?",
                (msgspec.json.encode(kept), name, device),
            )

    def message_of(self, name: str, device: str, count: int) -> int | None:
        """Give the message that had a count, None if it was given up or never used."""
        row = self._sql.execute(
            "SELECT message_id FROM sealed WHERE name = ? AND device = ? AND count = ?",
            (name, device, count),
        ).fetchone()
        return None if row is None else int(row[0])

    def voids(self, name: str, device: str, counts: Iterable[int]) -> None:
        """Note counts as given up which somebody asks for and which we cannot give."""
        row = self._sql.execute(_PEER, (name, device)).fetchone()
        if row is None:
            return
        known = _decode_counts(row[1])
        new = [count for count in counts if count <= row[0] and count not in known]
        self._sql.execute(
            "UPDATE peers SET voids = ? WHERE name = ? AND device = ?",
            (msgspec.json.encode([*known, *new][-MAX_VOIDS:]), name, device),
        )

    # --- opening ----------------------------------------------------------------------------------

    def take(self, name: str, device: str, count: int, voids: Sequence[int]) -> tuple[bool, int]:
        """Note that a count has come; gives whether it is new, and how many before it never came.

        `voids` are those of the sender: nothing is missing with them. What came and could not be
        opened is missing too, but does not count as never come.
        """
        row = self._sql.execute(_RECEIVED, (name, device)).fetchone()
        received, unopened = row or (0, 0)
        for void in voids:
            self.forget(name, device, void)
        if count <= received:
            return self.forget(name, device, count), 0
        first = max(received + 1, count - MAX_MISSING)
        gap = [each for each in range(first, count) if each not in voids]
        self._sql.executemany(
            "INSERT OR IGNORE INTO missing VALUES (?, ?, ?)", [(name, device, c) for c in gap]
        )
        if gap:
            self._sql.execute(_FORGET_OLD, (name, device, name, device, MAX_MISSING))
        self._sql.execute(_RECEIVE, (name, device, count))
        return True, max(0, len(gap) - unopened)

    def received(self, name: str, device: str) -> int:
        """Give the highest count that has come from a device, 0 for none."""
        row = self._sql.execute(_RECEIVED, (name, device)).fetchone()
        return 0 if row is None else int(row[0])

    def note_unopened(self, name: str, device: str) -> None:
        """Note that something came which could not be opened: it has a count that nobody knows."""
        self._sql.execute(_BEGIN, (name, device))
        self._sql.execute(
            "UPDATE peers SET unopened = unopened + 1 WHERE name = ? AND device = ?",
            (name, device),
        )

    def forget(self, name: str, device: str, count: int) -> bool:
        """Miss a count no longer; tell whether it was missing."""
        return self._sql.execute(_FORGET_COUNT, (name, device, count)).fetchone() is not None

    def missing(self, name: str, device: str) -> list[int]:
        """Read which counts of a device never came, the oldest first."""
        found = self._sql.execute(
            "SELECT count FROM missing WHERE name = ? AND device = ? ORDER BY count",
            (name, device),
        )
        return [count for (count,) in found]

    # --- mending ----------------------------------------------------------------------------------

    def may_repair(self, name: str, device: str, now_ms: int, pause_ms: int) -> bool:
        """Tell whether a new session may be begun to mend one, and note that it is."""
        self._sql.execute(_BEGIN, (name, device))
        _, _, _, repaired_ms = self._sql.execute(_PEER, (name, device)).fetchone()
        if repaired_ms and repaired_ms <= now_ms < repaired_ms + pause_ms:
            return False
        self._sql.execute(
            "UPDATE peers SET repaired_ms = ? WHERE name = ? AND device = ?", (now_ms, name, device)
        )
        return True
