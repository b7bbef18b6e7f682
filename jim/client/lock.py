"""A lock between processes: a file that one of them holds; the system lets go when it dies."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

from jim.common.files import FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)


class FileLock:
    """An exclusive lock by the name of a file; the file itself stays, empty."""

    def __init__(self, path: Path) -> None:
        """Take the path; its directory has to exist when the lock is taken."""
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody holds it; tell whether we do now.

        Raises:
            OSError: the file cannot be made.
        """
        descriptor = os.open(self._path, _FLAGS, FILE_MODE)
        try:
            _lock(descriptor, wait=False)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    @contextlib.contextmanager
    def wait(self) -> Iterator[None]:
        """Hold the lock for a block, waiting for others that hold it for one.

        Raises:
            OSError: the file cannot be made.
        """
        self._descriptor = os.open(self._path, _FLAGS, FILE_MODE)
        try:
            _lock(self._descriptor, wait=True)
            yield
        finally:
            self.release()

    def release(self) -> None:
        """Let go; without the lock nothing happens."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


if sys.platform == "win32":

    def _lock(descriptor: int, *, wait: bool) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:

    def _lock(descriptor: int, *, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
