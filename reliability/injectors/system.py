"""What injectors need of the machine: root, and programs and libraries that may be missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from reliability.injectors.taken import NotTaken

COMMAND_S: Final = 30.0
"""For one command of the system (mount, ip, …): each takes milliseconds on an idle machine."""

_SEARCHED: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where system programs are: the path of an ordinary user may lack the sbin directories."""

_LIBRARIES: Final = {
    # MT is the build for programs with threads.
    "libfaketime": ("*-linux-gnu/faketime/libfaketimeMT.so.1", "faketime/libfaketimeMT.so.1"),
    "libeatmydata": ("*-linux-gnu/libeatmydata.so", "libeatmydata.so"),
}
"""Below /usr/lib or /usr/lib64: Debian and Ubuntu first, then Fedora and Arch."""


def missing(*needs: str) -> str:
    """Name what of this the machine lacks; empty if nothing.

    Args:
        needs: `root`, a library that `library` knows, or else a program.
    """
    return ", ".join(need for need in needs if not _is_there(need))


def _is_there(need: str) -> bool:
    if need == "root":
        return os.geteuid() == 0
    if need in _LIBRARIES:
        return library(need) is not None
    return shutil.which(need, path=_SEARCHED) is not None


def library(name: str) -> Path | None:
    """Find a library that goes into LD_PRELOAD, None if it is not installed."""
    found = (
        path for place in _LIBRARIES[name] for path in sorted(Path("/usr").glob(f"lib*/{place}"))
    )
    return next(found, None)


def found(program: str) -> str:
    """Give the path of a program of the system, also of those that only root's PATH has."""
    return shutil.which(program, path=_SEARCHED) or program


def command(*words: str, stdin: str = "") -> str:
    """Run a command of the system and give what it printed.

    Raises:
        NotTaken: it failed, with what it complained about.
    """
    program = found(words[0])
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
