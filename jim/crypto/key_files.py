"""Keep private keys in files that nobody else can read, and refuse files that somebody else could.

A key is written once and never overwritten; sealing it with a passphrase, and the reverse, replaces
the file by another one with the same key. Reading checks the opened file, not its name, so nothing
can be swapped in between. On Windows the checks of mode and owner do not apply: the user's
profile directory protects there.
"""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import shlex
import stat
import sys
from typing import TYPE_CHECKING, Final

from jim.common.files import (
    DIRECTORY_MODE,
    FILE_MODE,
    make_directory,
    move_into_place,
    new_private,
    sync_directory,
)
from jim.crypto import base32, passphrase
from jim.crypto.keys import KEY_BYTES, SigningKey
from jim.crypto.passphrase import SealedSeed
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Ask = Callable[[], str]
    """Gives the passphrase; may wait for a person."""

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
"""Bits that let group or others touch a file; ssh refuses a private key that has any of them."""

OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
"""Bits that let others replace a directory's files (ssh's StrictModes refuses exactly these)."""

TEMPORARY_BYTES: Final = 8
"""Random bytes in the name of a file that is being written: no two are ever the same."""

MAX_FILE_BYTES: Final = 65536
"""Bytes read of a key file: ours have 117 or 245, a PEM key with its certificate 4 kB."""

FORMAT: Final = "jim-key-1"
"""First word of a key file; then the seed and its public key, which shows damage. A sealed one is
written by `jim.crypto.passphrase`."""

_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""Without blocking, so that a FIFO in the place of a key cannot hang the start."""


def load_or_create(path: Path, ask: Ask | None = None) -> SigningKey:
    """Read the key, or make one if there is none; two processes at once get the same key.

    Raises:
        KeyFileError: as `read_key` and `write_key`.
    """
    if not path.exists():
        key = SigningKey.generate()
        with contextlib.suppress(FileExistsError):
            write_key(path, key.seed)
            return key
    return read_key(path, ask)


def write_key(path: Path, seed: bytes) -> None:
    """Write a new key file, 0600, durably: after the return it survives a power cut.

    Directories that are missing are made, 0700. The file appears under its name complete or not at
    all.

    Raises:
        FileExistsError: there is a file already; it stays as it is.
        KeyFileError: with `reason` directory (others can write to it) or unwritable.
    """
    write_private(path, _plain(SigningKey(seed)))


def read_key(path: Path, ask: Ask | None = None) -> SigningKey:
    """Read a key file that belongs to us and to nobody else.

    Args:
        path: the file.
        ask: asked for the passphrase, once, if the key is sealed with one.

    Raises:
        KeyFileError: with `reason` missing, unreadable, owner, permissions, directory or damaged,
            and a detail that says how to repair it; locked (it is sealed and there is nobody to
            ask), passphrase (it is another one) or memory (too little to try it).
    """
    found = _read(path)
    if isinstance(found, SigningKey):
        return found
    if ask is None:
        raise _error(path, "locked", "the key is sealed with a passphrase")
    return _opened(path, found, ask())


def public_key(path: Path) -> tuple[bytes, bool]:
    """Give the public key of a file, and whether a passphrase seals it; asks nobody.

    What a sealed file says of its key is proven only by opening it.

    Raises:
        KeyFileError: as `read_key`.
    """
    found = _read(path)
    return found.public, isinstance(found, SealedSeed)


def protect(path: Path, new: str, ask: Ask | None = None) -> None:
    """Seal a key with a passphrase, durably; `ask` for the present one if there is one.

    The file is replaced as a whole. What a disk keeps of the blocks of the old one is beyond us.

    Raises:
        KeyFileError: as `read_key` and `write_key`; with `reason` empty for no passphrase at all.
    """
    key = read_key(path, ask)
    if not new:
        raise _error(path, "empty", "an empty passphrase protects nothing")
    try:
        text = passphrase.seal(key, new)
    except MemoryError as error:
        raise _error(path, "memory", str(error)) from error
    write_private(path.resolve(), text.encode("ascii"), replace=True)
    sweep(path.resolve())


def unprotect(path: Path, present: str) -> None:
    """Write a sealed key as it is without a passphrase, durably; one that is not sealed stays.

    Raises:
        KeyFileError: as `read_key` and `write_key`.
    """
    found = _read(path)
    if isinstance(found, SealedSeed):
        write_private(path.resolve(), _plain(_opened(path, found, present)), replace=True)


def _read(path: Path) -> SigningKey | SealedSeed:
    check_directory(path.parent)
    text = read_private(path).decode("ascii", "replace")
    words = text.split()
    with contextlib.suppress(ValueError):
        if words[:1] == [passphrase.FORMAT]:
            return passphrase.parse(text)
        if len(words) == 3 and words[0] == FORMAT:  # noqa: PLR2004 - format, seed, public key
            key = SigningKey(base32.decode(words[1], KEY_BYTES))
            if base32.encode(key.public) == words[2]:
                return key
    raise _error(path, "damaged", "the file is damaged; restore it from a backup")


def _opened(path: Path, sealed: SealedSeed, typed: str) -> SigningKey:
    try:
        key = passphrase.unseal(sealed, typed)
    except MemoryError as error:
        raise _error(path, "memory", str(error)) from error
    if key is None:
        raise _error(path, "passphrase", "the passphrase is wrong")
    return key


def _plain(key: SigningKey) -> bytes:
    text = f"{FORMAT} {base32.encode(key.seed)} {base32.encode(key.public)}\n"
    return text.encode("ascii")


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file that only we can read, atomically and durably; `replace` allows an older one.

    Raises:
        FileExistsError: there is a file already, and `replace` is not set.
        KeyFileError: as `write_key`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(TEMPORARY_BYTES)}.new")
    try:
        make_directory(path.parent)
        check_directory(path.parent)
        try:
            _write_new(temporary, content)
            move_into_place(temporary, path, replace=replace)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise _error(path, "unwritable", f"cannot write: {error.strerror}") from error


def sweep(path: Path) -> None:
    """Remove what writers of a file that were killed have left beside it; nobody may be writing it.

    Who dies between giving a key its name and taking the temporary one away leaves a second name of
    the same file: a passphrase that the key gets later would protect nothing.

    Raises:
        KeyFileError: with `reason` unwritable.
    """
    digits = "[0-9a-f]" * (2 * TEMPORARY_BYTES)
    try:
        left = list(path.parent.glob(f".{glob.escape(path.name)}.{digits}.new"))
        for each in left:
            each.unlink(missing_ok=True)
        if left:
            sync_directory(path.parent)
    except OSError as error:
        raise _error(path, "unwritable", f"cannot write: {error.strerror}") from error


def read_private(path: Path) -> bytes:
    """Read a small file that belongs to us and to nobody else.

    Raises:
        KeyFileError: with `reason` missing, unreadable, owner, permissions or damaged.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError:
        raise _error(path, "missing", "there is no such file") from None
    except OSError as error:
        raise _error(path, "unreadable", f"cannot read: {error.strerror}") from error
    try:
        check_private(path, os.fstat(descriptor))
        return os.read(descriptor, MAX_FILE_BYTES)
    finally:
        os.close(descriptor)


def check_private(path: Path, status: os.stat_result) -> None:
    """Refuse what is no plain file of ours, or open to others.

    Raises:
        KeyFileError: with `reason` damaged, owner or permissions.
    """
    if not stat.S_ISREG(status.st_mode):
        raise _error(path, "damaged", "this is not a plain file")
    if sys.platform == "win32":
        return
    quoted = shlex.quote(str(path))
    if status.st_uid != os.geteuid():
        fix = f"sudo chown {os.geteuid()} {quoted}"
        raise _error(path, "owner", f"the file belongs to user {status.st_uid}; to fix it: {fix}")
    if status.st_mode & OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        fix = f"chmod {FILE_MODE:o} {quoted}"
        raise _error(
            path, "permissions", f"others can use the file (mode {mode:04o}); to fix it: {fix}"
        )


def check_directory(path: Path) -> None:
    """Refuse a directory whose files others could replace; who can only look in does no harm.

    Raises:
        KeyFileError: with `reason` directory, or missing.
    """
    if sys.platform == "win32":
        return
    try:
        status = path.stat()
    except OSError as error:
        raise _error(path, "missing", f"cannot use the directory: {error.strerror}") from error
    quoted = shlex.quote(str(path))
    if status.st_uid not in {os.geteuid(), 0}:
        fix = f"sudo chown {os.geteuid()} {quoted}"
        raise _error(path, "directory", f"it belongs to user {status.st_uid}; to fix it: {fix}")
    if status.st_mode & OTHERS_WRITE:
        fix = f"chmod {DIRECTORY_MODE:o} {quoted}"
        raise _error(path, "directory", f"others can write to the directory; to fix it: {fix}")


def _write_new(path: Path, content: bytes) -> None:
    with new_private(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _error(path: Path, reason: str, detail: str) -> KeyFileError:
    return KeyFileError(f"{path}: {detail}", path=str(path), reason=reason)
