"""Ask the terminal how many cells it gives a text: write it, and ask where the cursor is."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from typing import Final

ANSWER_S: Final = 0.2
"""A terminal answers at once, over ssh after a round trip; one that never does must not hang."""

_POSITION = re.compile(rb"\x1b\[\d+;(\d+)R")


def emoji_cells(text: str) -> int | None:
    """Give the width that the terminal draws, None if it does not tell (or is none)."""
    if sys.platform == "win32" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write(f"\r{text}\x1b[6n")
        sys.stdout.flush()
        column = _read_column(descriptor)
    finally:
        sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
    return None if column is None else column - 1


def _read_column(descriptor: int) -> int | None:
    deadline = time.monotonic() + ANSWER_S
    answer = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        answer += os.read(descriptor, 64)
        found = _POSITION.search(answer)
        if found:
            return int(found.group(1))
    return None
