"""What is read beside the writer, on a connection of its own that cannot write.

Every query is finished when its function returns: one left open would keep the log from shrinking.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Final

from jim.core.model import Contact, Segment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

MAX_VISIBLE: Final = 1000
"""Contacts that `visible` gives (the port's bound): what one session can watch."""

_OWNER: Final = "SELECT account_id FROM device WHERE device_id = ?"
# The last segment that begins at or before the position may straddle it; all later ones lie behind.
_WAITING: Final = """
SELECT first_position, last_position, frames FROM mailbox
WHERE device_id = :device AND last_position > :position AND first_position >= coalesce((
    SELECT max(first_position) FROM mailbox
    WHERE device_id = :device AND first_position <= :position
), 0)
ORDER BY first_position
"""
_RECEIPTS: Final = """
SELECT other.name, them.delivered_seq
FROM account AS other
JOIN conversation AS c
  ON c.low = min(other.account_id, :account) AND c.high = max(other.account_id, :account)
JOIN member AS them
  ON them.account_id = other.account_id AND them.conversation_id = c.conversation_id
WHERE other.name IN (SELECT value FROM json_each(:names))
"""
_OTHERS: Final = """
SELECT other.account_id, other.name
FROM member AS me
JOIN conversation AS c ON c.conversation_id = me.conversation_id AND c.low <> c.high
JOIN account AS other
  ON other.account_id = CASE c.low WHEN me.account_id THEN c.high ELSE c.low END
"""
_WROTE_TO: Final = _OTHERS + "WHERE me.account_id = ? AND me.wrote ORDER BY c.conversation_id"
_WRITTEN_BY: Final = (
    _OTHERS
    + """
JOIN member AS them
  ON them.account_id = other.account_id AND them.conversation_id = c.conversation_id
WHERE me.account_id = ? AND them.wrote
ORDER BY c.last_ms DESC, c.conversation_id DESC LIMIT ?
"""
)


def load_after(
    connection: sqlite3.Connection, device_id: int, position: int, limit_bytes: int
) -> list[Segment]:
    """Read waiting segments that reach behind the position: one, and more while they fit."""
    owner = connection.execute(_OWNER, (device_id,)).fetchone()
    segments: list[Segment] = []
    size_bytes = 0
    arguments = {"device": device_id, "position": position}
    with contextlib.closing(connection.execute(_WAITING, arguments)) as rows:
        for first, last, frames in rows:
            size_bytes += len(frames)
            if segments and size_bytes > limit_bytes:
                break
            segments.append(Segment(owner[0], device_id, first, last, frames))
    return segments


def receipts(
    connection: sqlite3.Connection, account_id: int, name_keys: Sequence[str]
) -> dict[str, int]:
    """Read how far each of the named accounts holds its conversation with this one."""
    arguments = {"account": account_id, "names": json.dumps(list(name_keys))}
    return dict(connection.execute(_RECEIPTS, arguments).fetchall())


def visible_to(connection: sqlite3.Connection, account_id: int) -> list[Contact]:
    """Read whom the account wrote to, in the order in which it came to know them."""
    rows = connection.execute(_WROTE_TO, (account_id,)).fetchall()
    return [Contact(other, name) for other, name in rows]


def visible(connection: sqlite3.Connection, account_id: int) -> list[Contact]:
    """Read who wrote to the account, the latest conversation first."""
    rows = connection.execute(_WRITTEN_BY, (account_id, MAX_VISIBLE)).fetchall()
    return [Contact(other, name) for other, name in rows]
