"""How an account stands with others, as of the last commit: read beside the writer.

What the tables do not know yet (`jim.storage.sqlite.write_back`) comes from memory.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from jim.core.model import Contact

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Sequence

    from jim.storage.sqlite.counters import StoredConversation

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
_NAME: Final = "SELECT name FROM account WHERE account_id = ?"


def receipts(
    connection: sqlite3.Connection,
    newest: Iterable[StoredConversation],
    account_id: int,
    name_keys: Sequence[str],
) -> dict[str, int]:
    """Read how far each of the named accounts holds its conversation with this one.

    `newest` are those conversations of it that the table may not know as they are, looked up before
    the table is read.
    """
    arguments = {"account": account_id, "names": json.dumps(list(name_keys))}
    held = {each.conversation_id: each.durable.delivered for each in newest if each.durable}
    return {
        name: max(seq, held.get(conversation_id, {}).get(other, 0))
        for name, other, conversation_id, seq in connection.execute(_RECEIPTS, arguments).fetchall()
    }


def visible(
    connection: sqlite3.Connection, newest: Collection[StoredConversation], account_id: int
) -> list[Contact]:
    """Read who wrote to the account, the latest conversation first.

    `newest` as for `receipts`. Each of them may take the place of another one, or leave its own
    (when a clock was set back): hence so many more rows.
    """
    rows = connection.execute(_WRITTEN_BY, (account_id, MAX_VISIBLE + len(newest))).fetchall()
    found = {
        conversation_id: (last_ms, conversation_id, other, name)
        for other, name, conversation_id, last_ms in rows
    }
    for each in newest:
        other = each.low if each.high == account_id else each.high
        if each.durable is None or other == account_id or other not in each.durable.writers:
            continue
        (name,) = connection.execute(_NAME, (other,)).fetchone()
        found[each.conversation_id] = (each.durable.last_ms, each.conversation_id, other, name)
    latest = sorted(found.values(), reverse=True)[:MAX_VISIBLE]
    return [Contact(other, name) for _, _, other, name in latest]
