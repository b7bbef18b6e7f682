"""Write to the user, one flushed line at a time."""

from __future__ import annotations

import sys


def say(line: str = "") -> None:
    """Write a line to standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"jim-launch: {line}\n")
    sys.stderr.flush()
