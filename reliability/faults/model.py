"""What a fault is to the harness: a name, what it needs, a function that runs it, a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from reliability.injectors.system import missing

if TYPE_CHECKING:
    from reliability.rig.scene import Outcome

Report = Callable[[str], None]
"""Takes a line about how far a run has come."""

Run = Callable[[int, int, Path, Report], "Result"]
"""Takes cycles, seed, a directory for everything that the run writes, and whom to tell."""


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
        needs: of the machine, as `injectors.system.missing` knows it.
        short: cycles of a short run, as on every commit; 0: too long for one, run when named.
    """

    name: str
    description: str
    run: Run
    needs: tuple[str, ...] = ()
    short: int = 3

    def missing(self) -> str:
        """Name what it needs and this machine lacks; empty if nothing."""
        return missing(*self.needs)


class Stopwatch:
    """Measures a run."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()

    @property
    def seconds_s(self) -> float:
        """So far."""
        return time.monotonic() - self._began_s
