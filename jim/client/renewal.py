"""Put a new device in the place of the one here: one way, whatever has led to it.

A device is replaced by itself where its old keys must not be used any more (`rotation`): it is in
the account still, and adds the new one before it is taken out. Or its user brings the account back
with the twelve words (`recover`, `reset`), and what was here is out already, or soon will be. What
happens on this machine is the same:

1. the key of the new device becomes durable beside the old one, as `device.key.next`;
2. one transaction makes the store that of the new device (`RotatingStore.become`);
3. the key takes the place of the old one.

Which of two keys is that of the account, the store says, so a crash between any of these leaves
nothing open. A key that the store does not belong to yet stays, and is taken the next time: a
rotation may have made it public already. What it encrypts with, which is public then too, is kept
in the store as soon as it is made (`Rotation.vault`).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from jim.client import private_files
from jim.client.account_record import read_account
from jim.client.schema import open_database
from jim.common.files import move_into_place, sync_directory
from jim.crypto import key_files
from jim.crypto.keys import device_id

if TYPE_CHECKING:
    from pathlib import Path

NEXT: Final = ".next"
"""Behind the name of the key file, until the store belongs to the new key."""


def next_path(path: Path) -> Path:
    """Give where the key is that is going to take the place of the one at `path`."""
    return path.with_name(path.name + NEXT)


def settle(path: Path, store: Path) -> None:
    """Put a new key in its place if the store belongs to it already. Blocks.

    What is left of those who were killed while they wrote keys is removed: the account's lock must
    be held.

    Raises:
        KeyFileError: it cannot be read.
        StoreError: the store cannot be.
        OSError: it cannot be moved.
    """
    new = next_path(path)
    private_files.sweep(path.parent)
    for each in (path, new):
        key_files.sweep(each)
    if new.exists() and device_id(key_files.public_key(new)[0]) == _device_of(store):
        take(path)


def take(path: Path) -> None:
    """Put the new key in its place for good: the store belongs to it. Blocks.

    Raises:
        OSError: it cannot be moved.
    """
    move_into_place(next_path(path), path, replace=True)
    sync_directory(path.parent)


def _device_of(store: Path) -> str:
    """Read which device the store belongs to, "" if it is not there or belongs to none."""
    if not store.exists():
        return ""
    with contextlib.closing(open_database(store, create=False)) as connection:
        record = read_account(connection)
    return "" if record is None else record.device
