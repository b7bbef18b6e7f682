"""Turn a store back to what an older version of the program had written."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.client.schema import ROTATED_SINCE, SEALED_SINCE, WALKED_SINCE

if TYPE_CHECKING:
    from pathlib import Path

_UNDO: Final = {
    ROTATED_SINCE: ("DROP TABLE rotation", "DROP TABLE former"),
    SEALED_SINCE: (
        *(
            f"DROP TABLE {table}"
            for table in ("vault", "contacts", "peers", "sessions", "sealed", "missing", "passed")
        ),
        *(
            f"ALTER TABLE messages DROP COLUMN {column}"
            for column in ("kind", "only_for", "content_id", "plain", "payload")
        ),
        "ALTER TABLE notices DROP COLUMN peer",
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
        for step in sorted(_UNDO, reverse=True):
            if step > version:
                for statement in _UNDO[step]:
                    connection.execute(statement)
        connection.execute("DELETE FROM migrations WHERE version > ?", (version,))
        connection.commit()
