-- From here on the answers of a device may be packed by runs (jim/storage/sqlite/packing.py, version
-- 2), which an older program takes for damage: the number of this step keeps it from opening the
-- database. Answers that are there are read as they are and packed anew with the next message.

PRAGMA user_version = 3;
