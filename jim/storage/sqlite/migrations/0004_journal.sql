-- What each commit has changed, one row a commit (jim/storage/sqlite/journal.py), until it is written
-- into the tables bit by bit. At the start and at a clean end of the server it is empty; in between
-- the tables alone are behind. An older program would not know that: this step keeps it away.

CREATE TABLE journal (
    commit_id INTEGER PRIMARY KEY,
    body      BLOB    NOT NULL
) STRICT;

PRAGMA user_version = 4;
