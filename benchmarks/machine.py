"""What was measured on: the machine, the day, the command."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

FLUSHES: Final = 200
"""Enough for a steady median; 0.1 s on a fast disk, a few seconds on a slow one."""


def machine() -> dict[str, str]:
    """Name what was measured on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "loop": f"uvloop {version('uvloop')}",
    }


def described(directory: Path | None) -> dict[str, Any]:
    """Name also the processor, the kernel, the disk's flush in ms, and the command."""
    return machine() | {
        "processor": processor(Path("/proc/cpuinfo").read_text(encoding="utf-8")),
        "kernel": platform.release(),
        "flush_ms": round(flush_ms(directory), 3),
        "command": " ".join(["python -m benchmarks.compare", *sys.argv[1:]]),
    }


def processor(cpuinfo: str) -> str:
    """Find the processor's name in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def flush_ms(directory: Path | None) -> float:
    """Measure the median of an fdatasync after a write of 4 KiB, in ms."""
    taken = []
    with NamedTemporaryFile(dir=directory) as file:
        for _ in range(FLUSHES):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)
