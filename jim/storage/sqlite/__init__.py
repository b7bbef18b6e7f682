"""The embedded store: one SQLite file, WAL with `synchronous=FULL`, one thread that writes."""

from jim.storage.sqlite.offline import add_invite_offline, reissue_epoch
from jim.storage.sqlite.store import SqliteStore, open_store
from jim.storage.sqlite.verify import walk

__all__ = ["SqliteStore", "add_invite_offline", "open_store", "reissue_epoch", "walk"]
