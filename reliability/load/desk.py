"""What every scenario needs around it: a directory, a server, a progress line, the verdict."""

from __future__ import annotations

import contextlib
import heapq
import os
import platform
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from msgspec import structs

from reliability.checker import check
from reliability.history import load
from reliability.load.figures import Report, kept
from reliability.load.server import LIFTED, LoadServer
from reliability.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from msgspec import Struct

    from reliability.history import Event
    from reliability.promise import Demands, Verdict


class Desk:
    """The workplace of one scenario; everything it makes lies in `directory`."""

    def __init__(self, directory: Path, report: Report, progress: Progress) -> None:
        """Take an empty directory, the report to fill, and where to show how far it is."""
        self.directory = directory
        self.report = report
        self._progress = progress

    def server(self, limits: Mapping[str, str] = LIFTED) -> LoadServer:
        """Make the server of the scenario, which is to be started; the report names its limits."""
        self.report.lifted = dict(limits)
        return LoadServer(self.directory / "server", limits)

    def say(self, text: str) -> None:
        """Show what begins now."""
        self._progress.say(f"{self.report.scenario}: {text}")

    def note(self, text: str) -> None:
        """Show how it goes on, now and then."""
        self._progress.note(f"{self.report.scenario}: {text}")

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
    with (
        TemporaryDirectory(prefix=f"jim-load-{scenario}-") as directory,
        Progress() as progress,
    ):
        yield Desk(Path(directory), report, progress)
    report.took_s = time.monotonic() - started_s
    report.machine["load_after"] = os.getloadavg()[0]
