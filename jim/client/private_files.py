"""Files and directories that only we can read, which appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from typing import IO, TYPE_CHECKING

from jim.crypto import key_files
from jim.errors import BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def new_private(path: Path) -> IO[bytes]:
    """Open a new file, 0600, to write and read.

    Raises:
        OSError: it is there already, or cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, key_files.FILE_MODE), "w+b")


@contextlib.contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """Make a directory of ours beside what it is for, gone at the end.

    Raises:
        OSError: it cannot be made.
    """
    folder = parent / f".jim-{secrets.token_hex(8)}"
    key_files.make_directory(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def appearing(path: Path, *, replace: bool) -> Iterator[IO[bytes]]:
    """Write a file, 0600, beside its place; it gets its name once it is durable.

    Raises:
        OSError: it cannot be written, or without `replace` is there already.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    try:
        with new_private(temporary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        key_files.move_into_place(temporary, path, replace=replace)
        key_files.sync_directory(path.absolute().parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raise `BackupInvalid` for what the system says of a file: `reason` there, or file."""
    try:
        yield
    except FileExistsError as error:
        raise BackupInvalid(str(path), reason="there") from error
    except OSError as error:
        detail = f"{path}: {error.strerror or error}"
        raise BackupInvalid(detail, reason="file") from error
