"""A program at a pseudo-terminal, for front ends that look at where they run."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from typing import TYPE_CHECKING, Final

from reliability.rig.programs import DEADLINE_S, Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROWS: Final = 50
COLUMNS: Final = 200
"""Of the window: no line that somebody looks for is broken before it is recognised."""

_CONTROLS: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x1f]")
"""ECMA-48 control and escape sequences, and the C0 controls apart from tab and line feed."""


class TerminalProgram(Program):
    """A process whose standard streams are one terminal; lines come as they were printed."""

    def _begin(self, words: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**env, "PROMPT_TOOLKIT_NO_CPR": "1"},
            text=True,
            start_new_session=True,
        )
        os.close(theirs)
        process.stdin = os.fdopen(os.dup(ours), "w", encoding="utf-8")
        process.stdout = os.fdopen(ours, encoding="utf-8", errors="replace")
        return process

    def finish(self, timeout_s: float = DEADLINE_S) -> int:
        """Leave as somebody does who types the seed's command for it; give how it ended.

        Raises:
            Ended: it does not end.
        """
        self.say("3")
        return self.wait(timeout_s)


def plain(line: str) -> str:
    """Take away what a terminal obeys and does not show."""
    return _CONTROLS.sub("", line)
