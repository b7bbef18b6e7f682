"""Files and directories that only we can read, and that are durable once they have their name.

Everything that the program keeps goes through here: keys, databases, accounts, backups.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700
"""Ours alone, as ssh wants keys to be."""


def make_directory(path: Path) -> None:
    """Make a directory and its missing parents, each 0700 whatever the umask.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=DIRECTORY_MODE)
        path.chmod(DIRECTORY_MODE)


def new_private(path: Path) -> IO[bytes]:
    """Open a new file, 0600, to write and read.

    Raises:
        OSError: it is there already, or cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, FILE_MODE), "w+b")


@contextlib.contextmanager
def appearing(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Write a file, 0600, beside its place; it gets its name at the end, durably, or not at all.

    Raises:
        FileExistsError: there is one already, and it is not to be replaced.
        OSError: it cannot be written.
    """
    if not replace and path.exists():  # a look before the long work; the move looks again
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        with new_private(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        move_into_place(temporary, path, replace=replace)
        sync_directory(path.absolute().parent)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path, *, replace: bool) -> None:
    """Give the finished file its name; without `replace` a hard link refuses a taken one."""
    if replace:
        temporary.replace(path)
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: a small gap is left between look and rename
        if path.exists():
            raise FileExistsError(path) from None
        temporary.rename(path)


def sync_directory(path: Path) -> None:
    """Make the new name durable; Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
