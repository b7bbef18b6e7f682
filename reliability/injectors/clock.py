"""Set the wall clock of one process, as often as one likes, while its monotonic clock goes on.

libfaketime stands between the process and the C library and reads how far it is off from a file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from reliability.injectors.system import library
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOUR_S: Final = 3600
YEAR_S: Final = 365 * 24 * HOUR_S

HOLDS_WITHIN_S: Final = 2
"""A process looks at the file once a second, of which it counts only whole ones. To have it look
each time it reads a clock cost a server twenty times the processor time of its work (measured:
6.2 s instead of 0.3 s)."""

_PROBE: Final = "import time; print(time.time(), time.monotonic())"

_TOLERANCE_S: Final = 30.0
"""How far the probe may be off: it has to start an interpreter; the smallest jump is an hour."""


class Clock:
    """A wall clock for processes that are started with its `environment`."""

    def __init__(self, file: Path) -> None:
        """Take where to keep the offset; the clock is right at first.

        Raises:
            NotTaken: libfaketime is not installed.
        """
        place = library("libfaketime")
        if place is None:
            raise NotTaken("libfaketime is not installed")
        self._library = place
        self._file = file
        self.offset_s = 0
        self.set(0)

    @property
    def environment(self) -> Mapping[str, str]:
        """What the process needs in its environment from its start."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            # Both names: the second is the one since version 0.9.10.
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset_s: int) -> None:
        """Put the clock so far ahead of the machine's (negative: behind); see `HOLDS_WITHIN_S`."""
        fresh = self._file.with_name(self._file.name + ".new")
        fresh.write_text(f"{offset_s:+d}\n")
        fresh.replace(self._file)
        self.offset_s = offset_s

    def check(self) -> None:
        """See that a process is shown this time, and the machine's monotonic clock.

        Raises:
            NotTaken: it is not.
        """
        shown = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=_TOLERANCE_S,
            check=True,
        )
        plain = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_TOLERANCE_S,
            check=True,
        )
        wall_s, steady_s = map(float, shown.stdout.split())
        real_wall_s, real_steady_s = map(float, plain.stdout.split())
        if abs(wall_s - self.offset_s - real_wall_s) > _TOLERANCE_S:
            raise NotTaken(f"the wall clock is off by {wall_s - real_wall_s:.0f} s")
        if abs(steady_s - real_steady_s) > _TOLERANCE_S:
            raise NotTaken("the monotonic clock has jumped too")
