"""What every scenario needs around it: a directory, a progress line, the machine, the verdict."""

from __future__ import annotations

import contextlib
import heapq
import os
import platform
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import structs

from reliability.checker import check
from reliability.history import load
from reliability.load.figures import Report, kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from msgspec import Struct

    from reliability.history import Event
    from reliability.promise import Demands, Verdict


class Desk:
    """The workplace of one scenario; everything it makes lies in `directory`."""

    def __init__(self, directory: Path, report: Report) -> None:
        """Take an empty directory and the report to fill."""
        self.directory = directory
        self.report = report
        self._started_s = time.monotonic()

    def say(self, text: str) -> None:
        """Show what is going on, on one line."""
        took_s = time.monotonic() - self._started_s
        line = f"{self.report.scenario} {took_s:6.1f} s: {text}"
        end = "\r" if sys.stderr.isatty() else "\n"
        sys.stderr.write(line.ljust(78) + end)
        sys.stderr.flush()

    def journal(self, name: str) -> str:
        """Give the path of a worker's journal."""
        return str(self.directory / f"{name}.jsonl")

    def judge(self, demands: Demands, names: Sequence[str], more: Iterable[Event] = ()) -> Verdict:
        """Hold the journals of the workers, and events of our own, against the promise."""
        self.say("checking the history")
        parts = [load(Path(self.journal(name))) for name in names]
        events = heapq.merge(*parts, iter(more), key=lambda event: event.at_s)
        verdict = check(events, demands)
        self.report.checks += kept(verdict)
        self.report.violations += [str(each) for each in verdict.violations]
        return verdict


@contextlib.contextmanager
def desk(scenario: str, form: str, sizes: Struct) -> Iterator[Desk]:
    """Prepare a workplace; the report has its time and the machine's load when the block ends."""
    report = Report(scenario, form, sizes=structs.asdict(sizes))
    started_s = time.monotonic()
    report.machine = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }
    with TemporaryDirectory(prefix=f"jim-load-{scenario}-") as directory:
        yield Desk(Path(directory), report)
    report.took_s = time.monotonic() - started_s
    report.machine["load_after"] = os.getloadavg()[0]
