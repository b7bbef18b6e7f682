"""What the system says of a process that runs: memory, descriptors, threads, processor time.

psutil reads it, on Linux from /proc. Whoever is asked about has to be there: each function raises
ProcessLookupError if not.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


def rss_bytes(pid: int) -> int:
    """Read the resident memory of a process."""
    with _process(pid) as process:
        return int(process.memory_info().rss)


def address_space_bytes(pid: int) -> int:
    """Read the size of what a process has mapped, which is what RLIMIT_AS counts."""
    with _process(pid) as process:
        return int(process.memory_info().vms)


def open_descriptors(pid: int) -> int:
    """Count the descriptors that a process has open."""
    with _process(pid) as process:
        return int(process.num_fds())


def threads(pid: int) -> int:
    """Count the threads of a process."""
    with _process(pid) as process:
        return int(process.num_threads())


def cpu_s(pid: int) -> float:
    """Read how many seconds of processor time a process has used, without its children."""
    with _process(pid) as process:
        times = process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def _process(pid: int) -> Iterator[psutil.Process]:
    try:
        yield psutil.Process(pid)
    except psutil.NoSuchProcess as error:  # or a zombie, which is a kind of it
        raise ProcessLookupError(f"process {pid} is gone") from error
