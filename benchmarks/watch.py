"""Looks at a server from outside once a second: memory, processor time, the size of its files."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, Protocol

from benchmarks import targets
from jim.storage.sqlite.files import LOG_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

EVERY_S: Final = 0.5
"""Between two looks, of which each costs 0.1 ms; the log is moved several times meanwhile."""

SLACK_BYTES: Final = LOG_BYTES
"""What a file may be larger at the end and still be bounded: the log is moved into the database
when it has that much, so either may be so far ahead."""

SLACK_SHARE: Final = 0.1
"""The same for files so large that a tenth is more than that: free pages come and go."""


@dataclass(frozen=True)
class Sample:
    """What a server takes at one moment.

    Attributes:
        at_s: on the monotonic clock.
        cpu_s: processor time since its start.
        log_bytes: of the write-ahead log beside the database.
    """

    at_s: float
    cpu_s: float
    rss_bytes: int
    database_bytes: int
    log_bytes: int


SIZES: Final[dict[str, Callable[[Sample], int]]] = {
    "database": lambda sample: sample.database_bytes,
    "log": lambda sample: sample.log_bytes,
    "rss": lambda sample: sample.rss_bytes,
}
"""What may grow, in bytes."""


class Watched(Protocol):
    """What is looked at."""

    @property
    def pid(self) -> int:
        """The process that serves."""


def look(server: Watched, database: Path) -> Sample:
    """Take one sample.

    Raises:
        OSError: the process is gone (`ProcessLookupError` and `FileNotFoundError` are such).
    """
    return Sample(
        at_s=time.monotonic(),
        cpu_s=targets.cpu_s(server.pid),
        rss_bytes=1024 * targets.rss_kib(server.pid),
        database_bytes=_size(database),
        log_bytes=_size(database.with_name(f"{database.name}-wal")),
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def sockets(pid: int) -> int:
    """Count the sockets that a process has open."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += str(descriptor.readlink()).startswith("socket:")
    return count


@contextlib.contextmanager
def watched(server: Watched, database: Path) -> Iterator[list[Sample]]:
    """Collect samples for the length of a block, in the list that it gives, while the server is."""
    samples: list[Sample] = []
    done = Event()

    def watch() -> None:
        with contextlib.suppress(OSError):  # whoever talks to the server tells that it has ended
            while not done.wait(EVERY_S):
                samples.append(look(server, database))

    thread = Thread(target=watch, name="watch")
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def between(samples: Sequence[Sample], from_s: float, to_s: float) -> list[Sample]:
    """Give the samples that were taken from one moment to another, on the monotonic clock."""
    return [sample for sample in samples if from_s <= sample.at_s <= to_s]


def taken(samples: Sequence[Sample]) -> dict[str, float]:
    """Say what the server took over some samples: share of a core, and the most of each size.

    With fewer than two samples there is no share, and with none nothing at all.
    """
    if not samples:
        return {}
    first, last = samples[0], samples[-1]
    found = {f"{name}_mib": max(map(size, samples)) / 2**20 for name, size in SIZES.items()}
    if last.at_s > first.at_s:
        found["cpu_share"] = (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
    return found


def growth(
    samples: Sequence[Sample], part_s: float, size: Callable[[Sample], int]
) -> dict[str, Any]:
    """Compare a size in the first part of a run with the last part, each of `part_s`.

    Gives the greatest size in the first part, in the last and in the whole, in the unit of `size`.

    Raises:
        ValueError: there are no samples.
    """
    start_s, end_s = samples[0].at_s if samples else 0.0, samples[-1].at_s if samples else 0.0
    first = max(size(each) for each in between(samples, start_s, start_s + part_s))
    last = max(size(each) for each in between(samples, end_s - part_s, end_s))
    return {"first": first, "last": last, "most": max(map(size, samples))}


def bounded(found: dict[str, Any]) -> bool:
    """Judge a growth in bytes: whether the last part needs no more than the first and the slack."""
    allowed = max(SLACK_BYTES, SLACK_SHARE * found["first"])
    return bool(found["last"] - found["first"] <= allowed)
