"""Files and directories that only we can read, which appear complete or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from typing import TYPE_CHECKING, Final

from jim.client.lock import FileLock
from jim.common.files import make_directory
from jim.errors import BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX: Final = ".jim-"
LOCK_FILE: Final = "lock"
"""In a workplace: held for as long as somebody works there."""

YOUNG_S: Final = 60.0
"""So old is a workplace that nobody can be about to take its lock any more."""


@contextlib.contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """Make a directory of ours beside what it is for, gone at the end.

    Raises:
        OSError: it cannot be made.
    """
    folder = parent / f"{PREFIX}{secrets.token_hex(8)}"
    make_directory(folder)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire()
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove the workplaces of those who were killed: a store and a key lie in them, unsealed."""
    for folder in parent.glob(f"{PREFIX}{'[0-9a-f]' * 16}"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime < YOUNG_S:
                continue
            lock = FileLock(folder / LOCK_FILE)
            if lock.acquire():
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)


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
