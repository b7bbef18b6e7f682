"""What a fault is to the harness: a name, what it needs, a function that runs it, a result."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from reliability.rig.scene import Outcome

Report = Callable[[str], None]
"""Takes a line about how far a run has come."""

Run = Callable[[int, int, Path, Report], "Result"]
"""Takes cycles, seed, a directory for everything that the run writes, and whom to tell."""

SEARCHED: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where system programs are: the path of an ordinary user may lack the sbin directories."""

_LIBRARIES: Final = {
    "libfaketime": ("*-linux-gnu/faketime/libfaketimeMT.so.1", "faketime/libfaketimeMT.so.1"),
    "libeatmydata": ("*-linux-gnu/libeatmydata.so", "libeatmydata.so"),
}
"""Below /usr/lib or /usr/lib64: Debian and Ubuntu first, then Fedora and Arch."""


class Result(Struct, kw_only=True):
    """What a run of a fault was found to be.

    Attributes:
        cycles: how often something was broken and healed.
        acks: messages acknowledged.
        fired: how often the fault was seen to take effect.
        violations: one line each; a run that proves nothing is one too.
        seconds_s: that it took.
        details: what else is worth knowing, in a few words.
        kept: where history and logs are, if there were violations.
    """

    cycles: int = 0
    acks: int = 0
    fired: int = 0
    violations: list[str] = field(default_factory=list)
    seconds_s: float = 0.0
    details: str = ""
    kept: str = ""

    def take(self, outcome: Outcome) -> None:
        """Add what a scene was found to be."""
        self.acks += outcome.acks
        self.violations += [str(violation) for violation in outcome.violations]
        self.kept = outcome.directory or self.kept


class Fault(Struct, frozen=True, kw_only=True):
    """A kind of fault.

    Attributes:
        name: on the command line.
        description: one line.
        run: runs it.
        needs: `root`, programs, `libfaketime`, `libeatmydata`.
        short: cycles of a short run, as on every commit; 0: too long for one, run when named.
    """

    name: str
    description: str
    run: Run
    needs: tuple[str, ...] = ()
    short: int = 3

    def missing(self) -> str:
        """Name what it needs and this machine lacks; empty if nothing."""
        return ", ".join(need for need in self.needs if not _is_there(need))


def _is_there(need: str) -> bool:
    if need == "root":
        return os.geteuid() == 0
    if need in _LIBRARIES:
        return library(need) is not None
    return shutil.which(need, path=SEARCHED) is not None


def library(name: str) -> Path | None:
    """Find a library that goes into LD_PRELOAD."""
    found = (
        path for place in _LIBRARIES[name] for path in sorted(Path("/usr").glob(f"lib*/{place}"))
    )
    return next(found, None)


class Stopwatch:
    """Measures a run."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def seconds_s(self) -> float:
        """So far."""
        return time.monotonic() - self._began_s
