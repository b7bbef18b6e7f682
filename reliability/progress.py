"""One line that says how far a long run is: written over on a terminal, a line each in a log."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Final, Self

LOG_EVERY_S: Final = 30.0
"""In a file: often enough to see that it lives, seldom enough to read."""

SHOW_EVERY_S: Final = 0.2
"""On a terminal: five times a second looks alive, and more cannot be read."""

_CLEAR: Final = "\r\x1b[K"
"""To the start of the line, and erase it (ECMA-48, 8.3.41)."""


class Progress:
    """Shows progress on standard error; as a context it takes the line away at the end."""

    def __init__(self, total: int = 0, unit: str = "", *, quiet: bool = False) -> None:
        """Take how much there is to do and of what, where `show` is to be used.

        Args:
            total: how many there will be.
            unit: of what, in the plural.
            quiet: show nothing.
        """
        self._total = total
        self._unit = unit
        self._is_quiet = quiet
        self._began_s = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._shown_s = self._began_s if not self._is_terminal else 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def say(self, text: str) -> None:
        """Say what begins now, with the seconds until then; shown at once."""
        now_s = time.monotonic()
        self._shown_s = now_s
        self._write(f"{now_s - self._began_s:6.1f} s  {text}")

    def note(self, text: str) -> None:
        """Say how it goes on; cheap enough to call often, it is shown now and then."""
        if self._is_due():
            self.say(text)

    def show(self, done: int, note: str = "") -> None:
        """Say how much is done; cheap enough to call often, it is shown now and then."""
        if not self._is_due():
            return
        self._shown_s = time.monotonic()
        took_s = self._shown_s - self._began_s
        left_s = took_s / done * (self._total - done) if done else 0.0
        line = f"{done:,} of {self._total:,} {self._unit}, {left_s:,.0f} s left"
        self._write(f"{line}, {note}" if note else line)

    def end(self) -> None:
        """Take the line away again, also to print something else meanwhile."""
        if self._is_terminal and not self._is_quiet:
            sys.stderr.write(_CLEAR)
            sys.stderr.flush()

    def _is_due(self) -> bool:
        every_s = SHOW_EVERY_S if self._is_terminal else LOG_EVERY_S
        return time.monotonic() - self._shown_s >= every_s

    def _write(self, line: str) -> None:
        if self._is_quiet:
            return
        if self._is_terminal:
            # A line that wraps could not be written over.
            line = _CLEAR + line[: shutil.get_terminal_size().columns - 1]
        else:
            line += "\n"
        sys.stderr.write(line)
        sys.stderr.flush()
