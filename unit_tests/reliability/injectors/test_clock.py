from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from reliability.injectors import clock
from reliability.injectors.clock import HOUR_S, YEAR_S, Clock
from reliability.injectors.system import missing
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from pathlib import Path

LACKING = missing("libfaketime")
needs_library = pytest.mark.skipif(bool(LACKING), reason=f"needs {LACKING}")

TELL = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


@needs_library
def test_the_wall_clock_of_a_running_process_jumps_and_the_monotonic_one_does_not(
    tmp_path: Path,
) -> None:
    faked = Clock(tmp_path / "clock")
    with subprocess.Popen(
        [sys.executable, "-c", TELL],
        env={**os.environ, **faked.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for offset_s in (HOUR_S, -10 * YEAR_S, 0):
            faked.set(offset_s)
            time.sleep(clock.HOLDS_WITHIN_S + 0.1)
            print(file=process.stdin, flush=True)
            wall_s, steady_s = map(float, process.stdout.readline().split())
            assert wall_s - time.time() == pytest.approx(offset_s, abs=5)
            assert steady_s - time.monotonic() == pytest.approx(0, abs=5)
        process.stdin.close()


@needs_library
def test_the_check_passes_with_the_library_and_fails_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked = Clock(tmp_path / "clock")
    faked.set(HOUR_S)
    faked.check()
    monkeypatch.setattr(Clock, "environment", {})
    with pytest.raises(NotTaken, match="wall clock"):
        faked.check()


def test_without_the_library_there_is_no_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "library", lambda _: None)
    with pytest.raises(NotTaken, match="not installed"):
        Clock(tmp_path / "clock")
