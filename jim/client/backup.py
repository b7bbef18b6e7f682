"""Put an account into one sealed file; `jim.client.restoring` brings it back from there.

    make_backup(place, server, target, Passphrase("…"))

In the file is a tar with a manifest, the line of `known_servers`, the key of the device as it is (a
passphrase of its own stays) and the store, sealed by `jim.crypto.sealed_file`. A client may run
meanwhile: SQLite copies the store as it is at one moment.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
import time
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jim import __version__
from jim.client.account_record import read_account
from jim.client.archive import Member, Packing
from jim.client.known_servers import FILE_NAME as KNOWN_SERVERS
from jim.client.known_servers import KnownServer
from jim.client.local_accounts import KEY_FILE, STORE_FILE
from jim.client.private_files import file_errors, workplace
from jim.client.rotated import read_rotation
from jim.client.schema import BUSY_S
from jim.client.translate import store_errors
from jim.common.files import appearing, new_private
from jim.crypto import key_files
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id, fingerprint, format_pin
from jim.crypto.sealed_file import Passphrase, Recipient, recipient, seal
from jim.errors import BackupInvalid
from jim.protocol.messages import Link

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[int, int], object]
    """Hears how many bytes of how many are done."""

FORMAT: Final = "jim-backup-1"
MANIFEST: Final = "manifest.json"

SMALL_BYTES: Final = 65536
"""Of everything but the store: a key file has 245 bytes, the others are a line."""

STORE_BYTES: Final = 2**40
"""Of the store: a message a second for a lifetime."""

MEMBERS: Final = (
    Member(MANIFEST, SMALL_BYTES),
    Member(KNOWN_SERVERS, SMALL_BYTES),
    Member(KEY_FILE, SMALL_BYTES),
    Member(STORE_FILE, STORE_BYTES),
)


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format: str
    version: str
    time_ms: int
    name: str
    server: str
    """The server's fingerprint."""
    device: str


def make_backup(
    place: Path,
    server: KnownServer,
    target: Path,
    to: Recipient | Passphrase,
    *,
    force: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Manifest:
    """Seal the account in a directory into a file, 0600; it appears complete or not at all.

    Raises:
        BackupInvalid: with `reason` exists (without `force`), file, or busy: the device is just
            being replaced.
        JimError: the store or the key cannot be read.
    """
    check_target(target, force=force)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace(place))
        manifest = _gather(place, server, folder)
        files = [(member.name, folder / member.name) for member in MEMBERS]
        total = sum(path.stat().st_size for _, path in files)
        done = 0

        def advance(size: int) -> None:
            nonlocal done
            done += size
            progress(min(done, total), total)

        with file_errors(target), appearing(target, replace=force) as sealed:
            seal(io.BufferedReader(Packing(files, advance)), sealed, to)
    return manifest


def check_target(target: Path, *, force: bool) -> None:
    """Look whether a backup may go there, before anybody is asked for a passphrase.

    Raises:
        BackupInvalid: with `reason` exists (without `force`), or file: there is no such directory.
    """
    if target.exists() and not force:
        raise BackupInvalid(str(target), reason="exists")
    with file_errors(target):
        target.absolute().parent.stat()


def words_recipient(place: Path, recovery: SigningKey) -> Recipient:
    """Give what seals for the recovery words, if they are those of the account in a directory.

    Raises:
        BackupInvalid: with `reason` words: they are those of another account.
        StoreError: the store cannot be read.
    """
    path = place / STORE_FILE
    with store_errors(path), contextlib.closing(read_only(path)) as connection:
        record = read_account(connection)
        name = record.name if record else ""
        row = connection.execute("SELECT links FROM contacts WHERE name = ?", (name,)).fetchone()
    chain = msgspec.json.decode(row[0], type=list[Link]) if row else []
    if chain and verify_chain(chain, name).recovery_key != recovery.public:
        raise BackupInvalid("these are the words of another account", reason="words")
    return recipient(recovery)


def _gather(place: Path, server: KnownServer, folder: Path) -> Manifest:
    """Copy everything that goes into the file as it is at one moment."""
    path = folder / STORE_FILE
    with store_errors(place / STORE_FILE):
        _copy_store(place / STORE_FILE, path)
        with contextlib.closing(read_only(path)) as connection:
            record, rotation = read_account(connection), read_rotation(connection)
    _write(folder / KEY_FILE, key_files.read_private(place / KEY_FILE))
    public, _ = key_files.public_key(folder / KEY_FILE)
    if record is None or record.device != device_id(public) or (rotation and rotation.device):
        raise BackupInvalid("this device is just being replaced by a new one", reason="busy")
    manifest = Manifest(
        format=FORMAT,
        version=__version__,
        time_ms=int(time.time() * 1000),
        name=record.name,
        server=fingerprint(server.server_id),
        device=record.device,
    )
    _write(folder / MANIFEST, msgspec.json.encode(manifest))
    line = f"{server.address} {server.mode} {format_pin(server.server_id)}\n"
    _write(folder / KNOWN_SERVERS, line.encode())
    return manifest


def _write(path: Path, content: bytes) -> None:
    with new_private(path) as file:
        file.write(content)


def _copy_store(source: Path, target: Path) -> None:
    """Let SQLite copy a store in one piece, whoever works with it (sqlite.org, Backup API)."""
    new_private(target).close()
    with (
        contextlib.closing(read_only(source)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchone()  # one file, not three


def read_only(path: Path) -> sqlite3.Connection:
    """Open a store to read it."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)
