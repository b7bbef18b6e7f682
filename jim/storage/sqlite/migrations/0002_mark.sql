-- What the sending device knows its message `last_n` by (docs/adr/0006): it tells a client that was
-- restored from a backup whether that number still belongs to the message that it thinks of. Empty
-- where the message had none, as all those from before this migration.

ALTER TABLE sending ADD COLUMN last_mark TEXT NOT NULL DEFAULT '';
