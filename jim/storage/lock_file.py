"""One process per directory: a lock that the kernel drops when its holder dies, however it dies.

The file stays when the lock is released; its content, the holder's process id, is only for people.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from jim.common.files import FILE_MODE
from jim.errors import StoreLocked, StoreUnwritable

if TYPE_CHECKING:
    from pathlib import Path

_PID_BYTES: Final = 20
"""Bytes read of a lock file: the longest process id has 10 digits, so there is room."""


class LockFile:
    """An exclusive lock, held from `acquire` until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Take the path of the lock file; its directory has to exist."""
        self.path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock at once or not at all.

        Raises:
            StoreLocked: another process (field `pid`, 0 if unknown) holds it.
            StoreUnwritable: the file cannot be opened.
        """
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        except OSError as error:
            raise StoreUnwritable(f"{self.path}: cannot write: {error.strerror}") from error
        try:
            _lock(descriptor)
        except OSError:
            pid = _read_pid(descriptor)
            os.close(descriptor)
            raise StoreLocked(
                f"{self.path}: another process (pid {pid or 'unknown'}) works with this directory; "
                "stop it or choose another directory",
                pid=pid,
            ) from None
        self._descriptor = descriptor
        _write_pid(descriptor)

    def release(self) -> None:
        """Give the lock back; more than once does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _write_pid(descriptor: int) -> None:
    """Tell people who holds the lock; on a full disk the lock is good without."""
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())


def _read_pid(descriptor: int) -> int:
    try:
        text = os.read(descriptor, _PID_BYTES).strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


if sys.platform == "win32":
    import msvcrt

    _BEYOND: Final = 1 << 30
    """The byte that is locked: far behind the process id, which stays readable."""

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
