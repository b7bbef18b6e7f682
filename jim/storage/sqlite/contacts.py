"""How an account stands with others, read beside the writer on a connection that cannot write.

What the tables do not know yet (`jim.storage.sqlite.write_back`) is handed in, and was looked up
before they are read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from jim.core.model import Contact, Receipt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from jim.storage.sqlite.write_back import Recent

MAX_VISIBLE: Final = 1000
"""Contacts that `visible` gives (the port's bound): what one session can watch."""

_RECEIPTS: Final = """
SELECT other.name, other.account_id, c.conversation_id, them.delivered_seq,
    (SELECT max(seq) FROM link WHERE link.account_id = other.account_id)
FROM account AS other
JOIN conversation AS c
  ON c.low = min(other.account_id, :account) AND c.high = max(other.account_id, :account)
JOIN member AS them
  ON them.account_id = other.account_id AND them.conversation_id = c.conversation_id
WHERE other.name IN (SELECT value FROM json_each(:names))
"""
_OTHERS: Final = """
FROM member AS me
JOIN conversation AS c ON c.conversation_id = me.conversation_id AND c.low <> c.high
JOIN account AS other
  ON other.account_id = CASE c.low WHEN me.account_id THEN c.high ELSE c.low END
"""
_WROTE_TO: Final = (
    "SELECT other.account_id, other.name"
    + _OTHERS
    + "WHERE me.account_id = ? AND me.wrote ORDER BY c.conversation_id"
)
_WRITTEN_BY: Final = (
    "SELECT c.conversation_id, c.last_ms, other.account_id, other.name"
    + _OTHERS
    + """
JOIN member AS them
  ON them.account_id = other.account_id AND them.conversation_id = c.conversation_id
WHERE me.account_id = ? AND them.wrote
"""
)
_LATEST: Final = _WRITTEN_BY + "ORDER BY c.last_ms DESC, c.conversation_id DESC LIMIT ?"
_CHOSEN: Final = (
    _WRITTEN_BY + "AND c.conversation_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - fixed
)


def receipts(
    connection: sqlite3.Connection,
    recent: Mapping[int, Recent],
    account_id: int,
    name_keys: Sequence[str],
) -> dict[str, Receipt]:
    """Read how far each of the named accounts holds its conversation with this one."""
    arguments = {"account": account_id, "names": json.dumps(list(name_keys))}
    found = {}
    rows = connection.execute(_RECEIPTS, arguments).fetchall()
    for name, other, conversation_id, seq, chain_seq in rows:
        newer = recent.get(conversation_id)
        found[name] = Receipt(newer.delivered[other] if newer is not None else seq, chain_seq)
    return found


def visible_to(connection: sqlite3.Connection, account_id: int) -> list[Contact]:
    """Read whom the account wrote to, in the order in which it came to know them."""
    rows = connection.execute(_WROTE_TO, (account_id,)).fetchall()
    return [Contact(other, name) for other, name in rows]


def visible(
    connection: sqlite3.Connection, recent: Mapping[int, Recent], account_id: int
) -> list[Contact]:
    """Read who wrote to the account, the latest conversation first."""
    grown = {k: each.last_ms for k, each in recent.items() if account_id in (each.low, each.high)}
    # Each of them may take the place of another one, or leave its own when a clock was set back:
    # hence so many more rows.
    rows = connection.execute(_LATEST, (account_id, MAX_VISIBLE + len(grown))).fetchall()
    if grown:
        rows += connection.execute(_CHOSEN, (account_id, json.dumps(list(grown)))).fetchall()
    found = {
        conversation_id: (grown.get(conversation_id, last_ms), conversation_id, other, name)
        for conversation_id, last_ms, other, name in rows
    }
    latest = sorted(found.values(), reverse=True)[:MAX_VISIBLE]
    return [Contact(other, name) for _, _, other, name in latest]
