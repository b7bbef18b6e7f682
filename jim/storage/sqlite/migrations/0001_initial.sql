-- The first schema. A released migration is never changed: its checksum is kept in every database.

PRAGMA application_id = 1246317873; -- "JIM1", so that no other program's file is taken for ours

-- One row. The epoch is random per lineage: a restored copy gets a new one and clients resync.
CREATE TABLE meta (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    epoch      TEXT    NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- `name` is the normalised name, `skeleton` the look of it: nobody may have either of somebody else.
CREATE TABLE account (
    account_id INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    skeleton   TEXT    NOT NULL UNIQUE,
    chain_head BLOB    NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- The device chain of an account; `body` is the link as JSON, the same text that travels.
CREATE TABLE link (
    account_id INTEGER NOT NULL REFERENCES account,
    seq        INTEGER NOT NULL,
    head       BLOB    NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (account_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE device (
    device_id  INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES account,
    device     TEXT    NOT NULL,
    login_key  BLOB    NOT NULL,
    UNIQUE (account_id, device)
) STRICT;

-- What a device sends. Apart from what it receives, because a commit mostly changes one of the two,
-- and the answers of the last window make this row a hundred times longer than the other.
CREATE TABLE sending (
    device_id INTEGER PRIMARY KEY REFERENCES device,
    last_n    INTEGER NOT NULL,
    answers   BLOB    NOT NULL
) STRICT;

-- Where a mailbox stands; the counters outlive the segments, so that no position is used twice.
CREATE TABLE receiving (
    device_id        INTEGER PRIMARY KEY REFERENCES device,
    last_position    INTEGER NOT NULL,
    acked            INTEGER NOT NULL CHECK (acked <= last_position),
    state            INTEGER NOT NULL,
    waiting_since_ms INTEGER NOT NULL
) STRICT;

-- What waits: one segment per receiving device and commit, `frames` as they go onto the wire.
-- With a rowid, although the key is unique: the segments of a commit then lie side by side at the
-- end, four times faster than in the order of the key (docs/adr/0002).
CREATE TABLE mailbox (
    device_id      INTEGER NOT NULL REFERENCES device,
    first_position INTEGER NOT NULL,
    last_position  INTEGER NOT NULL CHECK (last_position >= first_position),
    frames         BLOB    NOT NULL,
    marks          BLOB    NOT NULL,
    PRIMARY KEY (device_id, first_position)
) STRICT;

-- Two people, or one with themself (low = high).
CREATE TABLE conversation (
    conversation_id INTEGER PRIMARY KEY,
    low             INTEGER NOT NULL REFERENCES account (account_id),
    high            INTEGER NOT NULL REFERENCES account (account_id),
    last_seq        INTEGER NOT NULL,
    last_ms         INTEGER NOT NULL,
    UNIQUE (low, high),
    CHECK (low <= high)
) STRICT;

CREATE TABLE member (
    account_id      INTEGER NOT NULL REFERENCES account,
    conversation_id INTEGER NOT NULL REFERENCES conversation,
    wrote           INTEGER NOT NULL,
    delivered_seq   INTEGER NOT NULL,
    PRIMARY KEY (account_id, conversation_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE invite (
    token_hash BLOB    PRIMARY KEY,
    uses       INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
