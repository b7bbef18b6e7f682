"""The tables of an account's local store, as numbered steps, and how a database is opened.

Steps are never changed once released: a database upgraded step by step equals a fresh one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from jim.client.translate import store_errors
from jim.common.files import FILE_MODE, make_directory
from jim.crypto.key_files import OTHERS
from jim.errors import StoreCorrupt, StoreTooNew
from jim.i18n import _

if TYPE_CHECKING:
    from pathlib import Path

BUSY_S: Final = 10.0
"""How long to wait for another process that writes; its transactions take milliseconds, so ten
seconds mean that it hangs (a laptop disk that has to spin up takes up to 8 s)."""

MIGRATIONS: Final = (
    """
    CREATE TABLE account (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        stage TEXT NOT NULL CHECK (stage IN ('registering', 'enrolling', 'registered')),
        link BLOB,
        words TEXT,
        chain_seq INTEGER NOT NULL DEFAULT 0,
        chain_head BLOB NOT NULL DEFAULT (zeroblob(32)),
        epoch TEXT NOT NULL DEFAULT '',
        position INTEGER NOT NULL DEFAULT 0,
        confirmed_n INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE messages (
        message_id INTEGER PRIMARY KEY AUTOINCREMENT,
        peer TEXT NOT NULL,
        outgoing INTEGER NOT NULL,
        sender TEXT NOT NULL,
        device TEXT NOT NULL,
        n INTEGER NOT NULL,
        text TEXT NOT NULL,
        time_ms INTEGER NOT NULL,
        seq INTEGER NOT NULL DEFAULT 0,
        place INTEGER NOT NULL,
        pending INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL,
        error_code TEXT,
        released INTEGER NOT NULL DEFAULT 0,
        send_key TEXT UNIQUE,
        identity BLOB UNIQUE
    ) STRICT;
    CREATE INDEX messages_history ON messages (peer, place, pending, message_id);
    CREATE INDEX messages_outbox ON messages (message_id) WHERE state = 'queued';
    CREATE INDEX messages_own ON messages (device, n) WHERE outgoing;
    CREATE INDEX messages_undelivered ON messages (peer, seq) WHERE outgoing AND state = 'stored';
    """,
    """
    CREATE TABLE store (id TEXT NOT NULL) STRICT;
    INSERT INTO store VALUES (lower(hex(randomblob(16))))
    """,
    """
    CREATE TABLE notices (
        notice_id INTEGER PRIMARY KEY AUTOINCREMENT,
        code TEXT NOT NULL,
        time_ms INTEGER NOT NULL,
        behind_id INTEGER NOT NULL,
        shown INTEGER NOT NULL DEFAULT 0,
        position INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    ALTER TABLE messages ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE account ADD COLUMN walked_from INTEGER NOT NULL DEFAULT 0;
    UPDATE account SET walked_from = position
    """,
    """
    CREATE TABLE account_4 (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        stage TEXT NOT NULL,
        link BLOB,
        words TEXT,
        chain_seq INTEGER NOT NULL DEFAULT 0,
        chain_head BLOB NOT NULL DEFAULT (zeroblob(32)),
        epoch TEXT NOT NULL DEFAULT '',
        position INTEGER NOT NULL DEFAULT 0,
        confirmed_n INTEGER NOT NULL DEFAULT 0,
        walked_from INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    INSERT INTO account_4 SELECT one, name, device, stage, link, words, chain_seq, chain_head,
        epoch, position, confirmed_n, walked_from FROM account;
    DROP TABLE account;
    ALTER TABLE account_4 RENAME TO account;
    CREATE TABLE vault (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        pickle TEXT NOT NULL,
        next_key INTEGER NOT NULL,
        fallback BLOB NOT NULL,
        fallback_ms INTEGER NOT NULL,
        offered BLOB
    ) STRICT;
    CREATE TABLE contacts (
        name TEXT PRIMARY KEY,
        links BLOB NOT NULL,
        trust TEXT NOT NULL DEFAULT 'first' CHECK (trust IN ('first', 'verified', 'changed')),
        plain INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE peers (
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        sent INTEGER NOT NULL DEFAULT 0,
        voids BLOB NOT NULL DEFAULT x'5b5d',
        received INTEGER NOT NULL DEFAULT 0,
        unopened INTEGER NOT NULL DEFAULT 0,
        repaired_ms INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (name, device)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sessions (
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        session_id TEXT NOT NULL,
        pickle TEXT NOT NULL,
        used INTEGER NOT NULL,
        wedged INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (name, device, session_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sealed (
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        count INTEGER NOT NULL,
        message_id INTEGER NOT NULL,
        PRIMARY KEY (name, device, count)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sealed_messages ON sealed (message_id);
    CREATE TABLE missing (
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        count INTEGER NOT NULL,
        PRIMARY KEY (name, device, count)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE passed (
        position INTEGER NOT NULL DEFAULT 0,
        n INTEGER NOT NULL DEFAULT 0,
        digest BLOB
    ) STRICT;
    CREATE TABLE handovers (
        device TEXT PRIMARY KEY,
        plan BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE handed (
        device TEXT PRIMARY KEY,
        parts INTEGER NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE messages ADD COLUMN handed INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE device_names (
        device TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        time_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    ALTER TABLE account ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE messages ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
    ALTER TABLE messages ADD COLUMN only_for TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN content_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN plain INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE messages ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE messages ADD COLUMN payload BLOB;
    ALTER TABLE notices ADD COLUMN peer TEXT NOT NULL DEFAULT '';
    UPDATE messages SET plain = 1
    """,
    """
    CREATE TABLE rotation (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        why TEXT NOT NULL,
        device TEXT NOT NULL DEFAULT '',
        vault BLOB,
        last_n INTEGER NOT NULL DEFAULT -1,
        last_mark TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE TABLE former (device TEXT PRIMARY KEY) STRICT, WITHOUT ROWID
    """,
    """
    CREATE INDEX passed_digests ON passed (digest) WHERE digest IS NOT NULL;
    CREATE INDEX messages_sealed ON messages (device, n) WHERE content_id <> ''
    """,
)
"""`place` orders a conversation: the sequence of a message, or for one that never got one the last
sequence known when it failed, with `pending` set so that it follows; while it is queued, the end.
`identity` finds what was received before (store.py). `store.id` tells this store from a later one
in its place, whose message ids begin anew: what is kept beside the store names it.
`notices` say that messages are missing here: whatever has a `message_id` up to `behind_id` came
before. They stay, so that a hole can be explained later (verify.py).
`position` is where something stood in this device's mailbox, 0 if that is not known. Everything
after `walked_from` up to the cursor has been received and is known: the cursor was never moved
there without receiving, nor has an older version of this program received it.

The rest is encryption (docs/adr/0017). `vault` has this device's Olm account, the number of its
next key, its fallback key and the keys that the server has not confirmed; `contacts` the pinned
device chains, our own among them; `peers` what is counted per device of others: what we sealed for
it, the counts that were given up, what came from it and could not be opened, when its sessions were
last given up; `sealed` which message had which of those counts, `missing` the counts that never
came; `device_names` what the user calls the devices of this account, and since when, so that the
latest name wins on all of them. `account.revoked` says that this device was taken out. What is
encrypted itself (`pickle`) is so with a key that the device's key gives, which is not in here.
Of a message, `kind` is `text`, or what it does between devices (then it is in no history and goes
once it is stored); `only_for` the one device that it is for; `content_id` the id inside what was
sealed; `plain` that it was not sealed, `withheld` that it is not shown because of that; `payload`
what goes out, until it is stored. `passed` has
positions and numbers of what left no message behind, and digests of ciphertexts that are found
again by nothing else.

`handovers` says for a new device of this account how far the history has been handed over to it,
`handed` on that device what has come of it, by the device that it came from (handing.py). Of a
message, `handed` says that it came in that way: 1 if it had been read there, 2 if it had not.

`rotation` has a row while this device has to be replaced by a new one (rotation.py): why, and how
far that has come. `former` are the devices that this store was before.

`passed_digests` and `messages_sealed` find what was opened before: without them every frame that
cannot be opened costs a look at each row, and a server sends as many of both as it likes."""

WALKED_SINCE: Final = 3
"""The step that began to keep positions."""

SEALED_SINCE: Final = 4
"""The step that began to keep what encryption needs."""

ROTATED_SINCE: Final = 5
"""The step that began to keep which devices a store was before."""

INDEXED_SINCE: Final = 6
"""The step that made indexes of what was opened."""


def open_database(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open the store, private to this user, and bring it up to date.

    Raises:
        StoreError: it cannot be opened, written or understood.
    """
    with store_errors(path):
        if create:
            _create_private(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None
        )
        try:
            _configure(connection)
            migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _create_private(path: Path) -> None:
    """Make an empty file that only we can read; SQLite gives its companions the same mode."""
    make_directory(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
    os.close(descriptor)
    # One that came with a copy of the directory may be open to others, texts and all.
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with contextlib.suppress(FileNotFoundError):
            if each.stat().st_mode & OTHERS:
                each.chmod(FILE_MODE)


def _configure(connection: sqlite3.Connection) -> None:
    """Make every commit survive a power cut, and deleted secrets unreadable."""
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON").fetchone()


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Take the steps that the database lacks, in one transaction; `path` is only for texts.

    Raises:
        StoreError: it cannot be understood.
        sqlite3.Error: it cannot be written.
    """
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY) STRICT")
    version = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()[0]
    if version > len(MIGRATIONS):
        text = _("{path}: written by a newer version of jim; update jim")
        raise StoreTooNew(text.format(path=path), path=str(path))
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        for statement in script.split(";\n"):
            connection.execute(statement)
        connection.execute("INSERT INTO migrations VALUES (?)", (number,))
    connection.execute("COMMIT")
    if not connection.execute("PRAGMA schema_version").fetchone()[0]:
        raise StoreCorrupt(_("{path}: the database is empty").format(path=path), path=str(path))
