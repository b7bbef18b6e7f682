"""How an account stands with others, as of the last commit: in the thread that writes.

What the tables do not know yet (`jim.storage.sqlite.write_back`) is asked of the counters.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from jim.core.model import Contact

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Sequence

    from jim.storage.sqlite.counters import SqliteCounters, StoredConversation

MAX_VISIBLE: Final = 1000
"""Contacts that `visible` gives (the port's bound): what one session can watch."""

_RECEIPTS: Final = """
SELECT other.name, other.account_id, c.conversation_id, them.delivered_seq
FROM account AS other
JOIN conversation AS c
  ON c.low = min(other.account_id, :account) AND c.high = max(other.account_id, :account)
JOIN member AS them
  ON them.account_id = other.account_id AND them.conversation_id = c.conversation_id
WHERE other.name IN (SELECT value FROM json_each(:names))
"""
_WRITTEN_BY: Final = """
SELECT other.account_id, other.name, c.conversation_id, c.last_ms
FROM member AS me
JOIN conversation AS c ON c.conversation_id = me.conversation_id AND c.low <> c.high
JOIN account AS other
  ON other.account_id = CASE c.low WHEN me.account_id THEN c.high ELSE c.low END
JOIN member AS them
  ON them.account_id = other.account_id AND them.conversation_id = c.conversation_id
WHERE me.account_id = ? AND them.wrote
ORDER BY c.last_ms DESC, c.conversation_id DESC LIMIT ?
"""


def receipts(
    connection: sqlite3.Connection,
    counters: SqliteCounters,
    account_id: int,
    name_keys: Sequence[str],
) -> dict[str, int]:
    """Read how far each of the named accounts holds its conversation with this one."""
    arguments = {"account": account_id, "names": json.dumps(list(name_keys))}
    rows = connection.execute(_RECEIPTS, arguments).fetchall()
    return {
        name: counters.delivered(conversation_id, other, seq)
        for name, other, conversation_id, seq in rows
    }


def visible(
    connection: sqlite3.Connection,
    counters: SqliteCounters,
    changed: Collection[StoredConversation],
    account_id: int,
) -> list[Contact]:
    """Read who wrote to the account, the latest conversation first.

    `changed` are its conversations that the table does not know as they are. Each may take the
    place of another one, or leave its own (when a clock was set back): hence so many more rows.
    """
    rows = connection.execute(_WRITTEN_BY, (account_id, MAX_VISIBLE + len(changed))).fetchall()
    found = {
        conversation_id: (last_ms, conversation_id, other, name)
        for other, name, conversation_id, last_ms in rows
    }
    for each in changed:
        low_is_other = each.high == account_id
        other = each.low if low_is_other else each.high
        if other != account_id and (each.low_wrote if low_is_other else each.high_wrote):
            name = counters.account(other).name
            found[each.conversation_id] = (each.last_ms, each.conversation_id, other, name)
    latest = sorted(found.values(), reverse=True)[:MAX_VISIBLE]
    return [Contact(other, name) for _, _, other, name in latest]
