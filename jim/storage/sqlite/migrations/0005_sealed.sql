-- Sealed texts (docs/adr/0017). An older program would deliver them to nobody, count a message for
-- one device alone as one of a conversation, and not read the journal: this step keeps it away.

-- How many messages of the device had no place in a conversation.
ALTER TABLE sending ADD COLUMN alone INTEGER NOT NULL DEFAULT 0;

-- One row for each device that texts can be sealed for: the key that is there when no other is left.
-- `last_number` is the highest one that any of its keys ever had, so that no key comes twice. The
-- row goes when the device is revoked.
CREATE TABLE fallback_key (
    device_id   INTEGER PRIMARY KEY REFERENCES device,
    last_number INTEGER NOT NULL,
    number      INTEGER NOT NULL CHECK (number <= last_number),
    key         BLOB    NOT NULL,
    sig         BLOB    NOT NULL
) STRICT;

-- Keys that nobody has claimed yet; each is given once.
CREATE TABLE one_time_key (
    device_id INTEGER NOT NULL REFERENCES fallback_key,
    number    INTEGER NOT NULL,
    key       BLOB    NOT NULL,
    sig       BLOB    NOT NULL,
    PRIMARY KEY (device_id, number)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 5;
