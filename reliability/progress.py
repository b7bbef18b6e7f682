"""One line that says how far a long run is: written over on a terminal, repeated in a log."""

from __future__ import annotations

import sys
import time
from typing import Final

LOG_EVERY_S: Final = 30.0
"""In a file: often enough to see that it lives, seldom enough to read."""

SHOW_EVERY_S: Final = 0.2


class Progress:
    """Shows progress on standard error."""

    def __init__(self, total: int, unit: str) -> None:
        """Take how much there is to do, and of what."""
        self._total = total
        self._unit = unit
        self._began_s = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._shown_s = self._began_s if not self._is_terminal else 0.0

    def show(self, done: int, note: str = "") -> None:
        """Say how much is done; cheap enough to call often."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (SHOW_EVERY_S if self._is_terminal else LOG_EVERY_S):
            return
        self._shown_s = now_s
        took_s = now_s - self._began_s
        left_s = took_s / done * (self._total - done) if done else 0.0
        line = f"{done:,} of {self._total:,} {self._unit}, {left_s:,.0f} s left"
        line = f"{line}, {note}" if note else line
        sys.stderr.write(f"\r\x1b[K{line}" if self._is_terminal else line + "\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Take the line away again."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
