"""Turn a store back to what an older version of the program had written."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.client.mark import digest_of
from jim.client.schema import INDEXED_SINCE, ROTATED_SINCE, SEALED_SINCE, WALKED_SINCE

if TYPE_CHECKING:
    from pathlib import Path

_UNDO: Final = {
    INDEXED_SINCE: ("DROP INDEX passed_digests", "DROP INDEX messages_sealed"),
    ROTATED_SINCE: ("DROP TABLE rotation", "DROP TABLE former"),
    SEALED_SINCE: (
        *(
            f"DROP TABLE {table}"
            for table in (
                *("vault", "contacts", "peers", "sessions", "sealed", "missing", "passed"),
                *("device_names", "handovers", "handed"),
            )
        ),
        *(
            f"ALTER TABLE messages DROP COLUMN {column}"
            for column in (
                *("kind", "only_for", "content_id", "plain", "payload", "withheld", "handed"),
            )
        ),
        "ALTER TABLE notices DROP COLUMN peer",
        "ALTER TABLE account DROP COLUMN revoked",
    ),
    WALKED_SINCE: (
        "DROP TABLE notices",
        "ALTER TABLE messages DROP COLUMN position",
        "ALTER TABLE account DROP COLUMN walked_from",
    ),
}


def turn_back(path: Path, version: int) -> None:
    """Undo every step of the schema after `version`."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        if version < SEALED_SINCE:
            _unseal(connection)
        for step in sorted(_UNDO, reverse=True):
            if step > version:
                for statement in _UNDO[step]:
                    connection.execute(statement)
        connection.execute("DELETE FROM migrations WHERE version > ?", (version,))
        connection.commit()


def _unseal(connection: sqlite3.Connection) -> None:
    """Let messages be known by their numbers, and nothing but texts have used any."""
    account = connection.execute("SELECT name FROM account").fetchone()
    if account is None:
        return
    rows = connection.execute(
        "SELECT message_id, sender, device, n, iif(outgoing, peer, ?), text FROM messages"
        " WHERE content_id <> ''",
        account,
    )
    for message_id, sender, device, n, to, text in rows.fetchall():
        identity = digest_of((sender, device, str(n), to, text))
        connection.execute(
            "UPDATE messages SET identity = ? WHERE message_id = ?", (identity, message_id)
        )
    connection.execute(
        "UPDATE account SET confirmed_n = (SELECT coalesce(max(n), 0) FROM messages"
        " WHERE outgoing AND state IN ('stored', 'delivered') AND device = account.device)"
    )
