"""Write log lines to one file a day, also when several processes write the same file.

All clients of a user share `client.log`. Each process appends with O_APPEND, a line a write, so
lines never mix. The first one to write after midnight renames the file to `client.log.<its day>`
under an flock on that very file; the others, holding the lock after it, find another file under
the name and just open that. Windows has no flock and does not rename a file that another process
holds open: there the rename waits until one process is alone, and nothing is lost meanwhile.
"""

from __future__ import annotations

import datetime
import itertools
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import TextIOWrapper
    from pathlib import Path

if sys.platform != "win32":
    import fcntl

DAYS_KEPT = 14
"""How many days' files are kept besides today's (docs/operations.md, "The log")."""

FILE_MODE = 0o600
"""The owner alone reads and writes a log."""

RETRY_S = 60.0
"""After a rotation that failed (Windows, read-only directory) the next try is a minute later."""


class DailyFileHandler(logging.Handler):
    """Append records to `path`; at the first record of a new local day put the old file aside.

    An error while writing is reported on stderr once, not once a record: a full disk must neither
    stop the program nor flood its screen.
    """

    def __init__(self, path: Path, *, days_kept: int = DAYS_KEPT):
        """Open the file.

        Raises:
            OSError: it cannot be opened for appending.
        """
        super().__init__()
        self.path = path
        self._days_kept = days_kept
        self._failed = False
        self._open()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record and flush it; rotate first when its day is not the file's."""
        try:
            line = self.format(record) + "\n"
            if time.time() >= self._next_day:
                self._rotate()
            self._stream.write(line)
            self._stream.flush()
        except Exception:  # noqa: BLE001  (a log must never raise into the program)
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Report the first failure in one line; later ones are silent."""
        if not self._failed:
            self._failed = True
            error = sys.exc_info()[1]
            sys.stderr.write(f"jim: log {self.path}: {type(error).__name__}: {error}\n")

    def close(self) -> None:
        """Close the file."""
        self.acquire()
        try:
            self._stream.close()
        finally:
            self.release()
        super().close()

    def _open(self) -> None:
        self._stream = _open_for_append(self.path)
        status = os.fstat(self._stream.fileno())
        # A file with lines in it belongs to the day of its last one: a process that starts in the
        # morning puts yesterday's file aside.
        written_s = status.st_mtime if status.st_size else time.time()
        self._day = _local_day(written_s)
        self._next_day = _midnight_after(self._day)

    def _rotate(self) -> None:
        if sys.platform == "win32":
            self._stream.close()
            renamed = self._put_aside()
        else:
            fcntl.flock(self._stream, fcntl.LOCK_EX)
            renamed = not self._is_current() or self._put_aside()
            self._stream.close()  # gives the lock back
        self._open()
        if not renamed:
            self._next_day = time.time() + RETRY_S

    def _is_current(self) -> bool:
        """Tell whether the open file is still the one under the name."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._stream.fileno()))
        except FileNotFoundError:
            return False

    def _put_aside(self) -> bool:
        # Under the lock nobody else renames, so a name that is free now is free below. It is taken
        # already when the clock was set back.
        dated = self.path.with_name(f"{self.path.name}.{self._day.isoformat()}")
        numbered = (dated.with_name(f"{dated.name}.{number}") for number in itertools.count(1))
        free = next(name for name in itertools.chain([dated], numbered) if not name.exists())
        try:
            self.path.rename(free)
            self._delete_old()
        except OSError:
            return False
        return True

    def _delete_old(self) -> None:
        oldest = _local_day(time.time()) - datetime.timedelta(days=self._days_kept)
        for path in self.path.parent.glob(f"{self.path.name}.????-??-??*"):
            if path.name.removeprefix(f"{self.path.name}.")[:10] < oldest.isoformat():
                path.unlink(missing_ok=True)


def _open_for_append(path: Path) -> TextIOWrapper:
    def private(name: str, flags: int) -> int:
        return os.open(name, flags, FILE_MODE)

    # Line by line, and never a failure over a character that UTF-8 cannot hold (lone surrogates).
    return open(path, "a", encoding="utf-8", errors="backslashreplace", opener=private)


def _local_day(seconds: float) -> datetime.date:
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).astimezone().date()


def _midnight_after(day: datetime.date) -> float:
    """Return the local midnight that ends a day, in seconds since the epoch."""
    midnight = datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time())
    return midnight.astimezone().timestamp()
