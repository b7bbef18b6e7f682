"""Become a new device in the place of one that is out: its key first, its store, then the name.

The new key is durable beside the old one before the store belongs to it. Whichever of the two the
store belongs to after a crash is the key of this account.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from jim.client import private_files
from jim.client.account_record import read_account
from jim.client.local_accounts import NEXT_KEY_FILE
from jim.client.schema import open_database
from jim.crypto import key_files
from jim.crypto.keys import device_id

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.key_opener import KeyOpener
    from jim.crypto.keys import SigningKey

NEW_KEY: Final = ".new"
"""Behind the name of the key file, until the store belongs to the new key."""


def make_key(path: Path, opener: KeyOpener) -> SigningKey:
    """Make the key that is going to take the place of one, durably beside it. Blocks.

    It is sealed with the passphrase of the one that `opener` has read, if that is sealed.

    Raises:
        KeyFileError: it cannot be written.
    """
    new = _new(path)
    new.unlink(missing_ok=True)
    return opener.read_or_make(new)


def settle(path: Path, store: Path) -> None:
    """Put a new key in its place if the store belongs to it, or throw it away. Blocks.

    What is left of those who were killed while they wrote keys is removed: the account's lock must
    be held.

    Raises:
        KeyFileError: it cannot be read.
        StoreError: the store cannot be.
        OSError: it cannot be moved.
    """
    new = _new(path)
    private_files.sweep(path.parent)
    for each in (path, new, path.with_name(NEXT_KEY_FILE)):
        key_files.sweep(each)
    if not new.exists():
        return
    if device_id(key_files.public_key(new)[0]) == _device_of(store):
        new.replace(path)
    else:
        new.unlink()


def _new(path: Path) -> Path:
    return path.with_name(path.name + NEW_KEY)


def _device_of(store: Path) -> str:
    """Read which device the store belongs to, "" if it is not there or belongs to none."""
    if not store.exists():
        return ""
    with contextlib.closing(open_database(store, create=False)) as connection:
        record = read_account(connection)
    return "" if record is None else record.device
