"""What injectors need of the machine: root, and programs that may be missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from reliability.injectors.taken import NotTaken

COMMAND_S: Final = 30.0
"""For one command of the system (mount, ip, …): each takes milliseconds on an idle machine."""

_SEARCHED: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where system programs are: the path of an ordinary user may lack the sbin directories."""


def missing(*programs: str) -> str:
    """Say why faults that need root and these programs cannot be made; empty if they can."""
    if os.geteuid() != 0:
        return "needs root"
    absent = [program for program in programs if shutil.which(program, path=_SEARCHED) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def command(*words: str, stdin: str = "") -> str:
    """Run a command of the system and give what it printed.

    Raises:
        NotTaken: it failed, with what it complained about.
    """
    program = shutil.which(words[0], path=_SEARCHED) or words[0]
    try:
        done = subprocess.run(
            (program, *words[1:]),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotTaken(f"{' '.join(words)}: {error}") from error
    if done.returncode:
        raise NotTaken(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
