"""How the programs end when it is not they who decide: what a shell reports for it."""

from __future__ import annotations

import os
import sys
from typing import Final

INTERRUPTED_STATUS: Final = 130
"""For Ctrl+C: 128 and the signal's number (SIGINT, 2)."""

PIPE_STATUS: Final = 141
"""For a program that SIGPIPE has ended (128 + 13): `jim listen | head -1`."""


def write_out() -> bool:
    """Write what is still buffered for stdout, or forget it where nobody takes it; tell which."""
    try:
        sys.stdout.flush()
    except OSError:
        forget_stdout()
        return False
    return True


def forget_stdout() -> None:
    """Give the interpreter somewhere to write what is still buffered when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
