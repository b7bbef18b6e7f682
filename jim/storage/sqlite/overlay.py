"""Look at a database as its journal continues it, without writing to it.

What the tables lack goes into temporary tables of the connection, and temporary views take the
names of the tables: SQLite looks there first (sqlite.org/lang_naming.html), so that a query need
not know whether a server was at work, or cut off, when it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.storage.sqlite import journal

if TYPE_CHECKING:
    import sqlite3

_TABLES: Final = (
    """CREATE TEMP TABLE newer_sending
    (last_n INTEGER, last_mark TEXT, answers BLOB, alone INTEGER, device_id INTEGER PRIMARY KEY)""",
    """CREATE TEMP TABLE newer_receiving (last_position INTEGER, acked INTEGER, state INTEGER,
    waiting_since_ms INTEGER, device_id INTEGER PRIMARY KEY)""",
    """CREATE TEMP TABLE newer_mailbox (device_id INTEGER, first_position INTEGER,
    last_position INTEGER, frames BLOB, marks BLOB, PRIMARY KEY (device_id, first_position))""",
    """CREATE TEMP TABLE newer_conversation
    (last_seq INTEGER, last_ms INTEGER, conversation_id INTEGER PRIMARY KEY)""",
    """CREATE TEMP TABLE newer_member (delivered_seq INTEGER, account_id INTEGER,
    conversation_id INTEGER, PRIMARY KEY (account_id, conversation_id)) WITHOUT ROWID""",
)
# Each view reads one table and looks up what is newer by its key, so that SQLite reads it like the
# table. A join of the two would be carried out for all rows wherever the view is the right side of
# a LEFT JOIN (sqlite.org/optoverview.html, "subquery flattening").
_VIEWS: Final = (
    """CREATE TEMP VIEW sending AS SELECT device_id,
    ifnull((SELECT n.last_n FROM newer_sending AS n
        WHERE n.device_id = o.device_id), o.last_n) AS last_n,
    ifnull((SELECT n.last_mark FROM newer_sending AS n
        WHERE n.device_id = o.device_id), o.last_mark) AS last_mark,
    ifnull((SELECT n.answers FROM newer_sending AS n
        WHERE n.device_id = o.device_id), o.answers) AS answers,
    ifnull((SELECT n.alone FROM newer_sending AS n
        WHERE n.device_id = o.device_id), o.alone) AS alone
    FROM main.sending AS o""",
    """CREATE TEMP VIEW receiving AS SELECT device_id,
    ifnull((SELECT n.last_position FROM newer_receiving AS n
        WHERE n.device_id = o.device_id), o.last_position) AS last_position,
    ifnull((SELECT n.acked FROM newer_receiving AS n
        WHERE n.device_id = o.device_id), o.acked) AS acked,
    ifnull((SELECT n.state FROM newer_receiving AS n
        WHERE n.device_id = o.device_id), o.state) AS state,
    ifnull((SELECT n.waiting_since_ms FROM newer_receiving AS n
        WHERE n.device_id = o.device_id), o.waiting_since_ms) AS waiting_since_ms
    FROM main.receiving AS o""",
    """CREATE TEMP VIEW mailbox AS
    SELECT * FROM main.mailbox UNION ALL SELECT * FROM newer_mailbox""",
    """CREATE TEMP VIEW conversation AS SELECT conversation_id, low, high,
    ifnull((SELECT n.last_seq FROM newer_conversation AS n
        WHERE n.conversation_id = o.conversation_id), o.last_seq) AS last_seq,
    ifnull((SELECT n.last_ms FROM newer_conversation AS n
        WHERE n.conversation_id = o.conversation_id), o.last_ms) AS last_ms
    FROM main.conversation AS o""",
    """CREATE TEMP VIEW member AS SELECT account_id, conversation_id, wrote,
    ifnull((SELECT n.delivered_seq FROM newer_member AS n
        WHERE n.account_id = o.account_id AND n.conversation_id = o.conversation_id
    ), o.delivered_seq) AS delivered_seq
    FROM main.member AS o""",
)


def lay_over(connection: sqlite3.Connection) -> None:
    """Let the connection see what the journal adds; its transaction has to hold one state.

    Raises:
        StoreCorrupt: the journal does not continue the tables.
    """
    rows = journal.replay(connection)
    if rows is None:
        return
    for statement in _TABLES:
        connection.execute(statement)
    for statement, values in (
        ("INSERT INTO newer_sending VALUES (?, ?, ?, ?, ?)", rows.sent),
        ("INSERT INTO newer_receiving VALUES (?, ?, ?, ?, ?)", rows.received),
        ("INSERT INTO newer_mailbox VALUES (?, ?, ?, ?, ?)", rows.segments),
        ("INSERT INTO newer_conversation VALUES (?, ?, ?)", rows.grew),
        ("INSERT INTO newer_member VALUES (?, ?, ?)", rows.delivered),
    ):
        connection.executemany(statement, values)
    for statement in _VIEWS:
        connection.execute(statement)
