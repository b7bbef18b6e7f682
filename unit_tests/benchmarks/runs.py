"""Intervals small enough to be seen through, and whole commands on a small scale."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.flow import Interval, interval_of

ROOT = Path(__file__).resolve().parents[2]
MS = 1_000_000


def report(number: int = 1, **values: Any) -> dict[str, Any]:
    """What the program prints of an interval of 2 s."""
    return {
        "event": "round",
        "round": number,
        "seconds": 2.0,
        "sent": 10,
        "done": 10,
        "arrived": 10,
        "share": 0.25,
        "lag_ms": 0.5,
        "waited": 0,
        "lost": 0,
        "wrong": 0,
        "lateness_ns": [[MS, 9], [5 * MS, 1]],
        **values,
    }


def interval(number: int = 1, **values: Any) -> Interval:
    """The interval of that number, where the first begins at 100 s."""
    return interval_of(report(number, **values), 100.0 + 2 * number)


def measured(module: str, directory: Path, *arguments: str) -> dict[str, Any]:
    """Run a command as a person does; give its figures. It must leave nothing behind."""
    scratch, file = directory / "scratch", directory / "figures.json"
    scratch.mkdir()
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(
        [*command, "--scratch", str(scratch), "--json", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("|")
    assert list(scratch.iterdir()) == []
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert found["machine"]["command"].startswith(f"python -m benchmarks.{module} {arguments[0]}")
    return found
