"""Bring an account back from the file that `jim.client.backup` has made.

    restored = restore(source, Passphrase("…"), data_dir)

What is restored always goes on as a new device (rotation.py): nobody can know whether the other
copy is still used somewhere. An account that is there already is never overwritten; it is moved
aside if the user says so.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jim.client.account_record import read_account
from jim.client.address import Address
from jim.client.archive import unpack
from jim.client.backup import FORMAT, MANIFEST, MEMBERS, Manifest, read_only
from jim.client.known_servers import KnownServer, KnownServers
from jim.client.local_accounts import KEY_FILE, LOCK_FILE, STORE_FILE, account_directory
from jim.client.lock import FileLock
from jim.client.private_files import file_errors, sweep, workplace
from jim.client.rotated import Rotation, write_rotation
from jim.client.schema import open_database
from jim.client.translate import store_errors
from jim.client.verify import Kind, Report
from jim.client.verify_store import verify_account
from jim.common.files import DIRECTORY_MODE, make_directory, new_private, sync_directory
from jim.core.names import normalise
from jim.crypto import key_files
from jim.crypto.keys import SigningKey, device_id, fingerprint
from jim.crypto.sealed_file import Passphrase, unseal
from jim.errors import AccountInUse, BackupInvalid, JimError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.client.backup import Progress

WHY: Final = "backup"
"""Why a restored account becomes another device, in its store."""

REPLACED: Final = "replaced"
"""Directory, in the data directory, of accounts that a restored one has taken the place of."""


class Restored(Struct, frozen=True):
    """An account that has been brought back.

    Attributes:
        place: its directory.
        report: what `jim verify` says of it.
        replaced: where the account is that was there before, None if none was.
    """

    manifest: Manifest
    place: Path
    report: Report
    replaced: Path | None


def restore(
    source: Path,
    by: SigningKey | Passphrase,
    data_dir: Path,
    *,
    force: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Restored:
    """Bring an account back; with its next login it becomes a new device.

    An account that is there already stays, or with `force` is moved aside.

    Raises:
        BackupInvalid: as `unseal`; or with `reason` file, content, store (damaged inside), or
            exists: there is such an account already.
        AccountInUse: another process works with the account that is there.
        JimError: the data directory cannot be used.
    """
    sweep(data_dir)
    with store_errors(data_dir), workplace(data_dir) as folder:
        with file_errors(source):
            _unseal(source, by, folder, progress)
        manifest, server = _checked(folder)
        report = _verified(folder)
        _mark(folder / STORE_FILE)
        place = account_directory(data_dir, server.server_id, manifest.name)
        replaced = _make_room(place, data_dir, force=force)
        _move(folder, place)
    KnownServers(data_dir).remember(Address.parse(server.address), server.mode, server.server_id)
    return Restored(manifest, place, report, replaced)


def _unseal(source: Path, by: SigningKey | Passphrase, folder: Path, progress: Progress) -> None:
    total = source.stat().st_size
    packed = folder / ".plain.tar"
    with new_private(packed) as plain, source.open("rb") as sealed:
        unseal(_Counted(sealed, lambda done: progress(done, total)), plain, by)  # type: ignore[arg-type]
        plain.seek(0)
        unpack(plain, MEMBERS, folder)
    packed.unlink()


def _checked(folder: Path) -> tuple[Manifest, KnownServer]:
    """Demand that the parts of a backup belong together."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        (server,) = KnownServers(folder).all()
        if manifest.format != FORMAT:
            raise _invalid("content", "it was made by a newer version of jim; update jim")
        with contextlib.closing(read_only(folder / STORE_FILE)) as connection:
            record = read_account(connection)
        public, _ = key_files.public_key(folder / KEY_FILE)
        whole = (
            record is not None
            and normalise(manifest.name) == manifest.name == record.name
            and manifest.server == fingerprint(server.server_id)
            and manifest.device == record.device == device_id(public)
        )
    except BackupInvalid:
        raise
    except (JimError, ValueError, sqlite3.Error) as error:
        raise _invalid("content", f"the parts cannot be read: {error}") from error
    if not whole:
        raise _invalid("content", "the parts do not belong together")
    return manifest, server


def _verified(folder: Path) -> Report:
    report = verify_account(folder)
    for finding in report.findings:
        if finding.kind in {Kind.UNREADABLE, Kind.DAMAGED}:
            raise _invalid("store", finding.detail)
    return report


def _mark(path: Path) -> None:
    """Note that whoever opens this store has to become another device."""
    with contextlib.closing(open_database(path, create=False)) as connection:
        write_rotation(connection, Rotation(why=WHY))


def _make_room(place: Path, data_dir: Path, *, force: bool) -> Path | None:
    """Move an account aside that is there; gives where it is now."""
    if not any((place / name).exists() for name in (KEY_FILE, STORE_FILE)):
        return None
    if not force:
        raise _invalid("exists", str(place))
    lock = FileLock(place / LOCK_FILE)
    if not lock.acquire():
        raise AccountInUse(f"{place}: another client works with it")
    try:
        aside = data_dir / REPLACED / place.parent.name / f"{place.name}-{time.time_ns()}"
        make_directory(aside.parent)
        place.rename(aside)
    finally:
        lock.release()
    return aside


def _move(folder: Path, place: Path) -> None:
    """Give the finished account its place: first all of it durably, then the name."""
    ready = folder / "account"
    ready.mkdir(mode=DIRECTORY_MODE)
    for name in (KEY_FILE, STORE_FILE):
        (folder / name).rename(ready / name)
        with (ready / name).open("rb") as file:
            os.fsync(file.fileno())
    sync_directory(ready)
    make_directory(place.parent)
    with contextlib.suppress(FileNotFoundError):
        (place / LOCK_FILE).unlink()
        place.rmdir()
    ready.rename(place)
    sync_directory(place.parent)


class _Counted:
    """A stream that tells how far it has been read."""

    def __init__(self, stream: IO[bytes], progress: Callable[[int], object]) -> None:
        self._stream, self._progress = stream, progress
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        return self._note(self._stream.read(size))

    def readline(self, size: int = -1) -> bytes:
        return self._note(self._stream.readline(size))

    def _note(self, piece: bytes) -> bytes:
        self._done += len(piece)
        self._progress(self._done)
        return piece


def _invalid(reason: str, detail: str) -> BackupInvalid:
    return BackupInvalid(detail, reason=reason)
