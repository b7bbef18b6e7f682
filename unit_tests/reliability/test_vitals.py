"""What is read of a process, against what the process knows of itself."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from reliability import vitals

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: tuple[Callable[[int], float], ...] = (
    vitals.rss_bytes,
    vitals.address_space_bytes,
    vitals.open_descriptors,
    vitals.threads,
    vitals.cpu_s,
)


def test_memory_in_use_is_part_of_what_is_mapped() -> None:
    before_bytes = vitals.rss_bytes(os.getpid())
    kept = bytearray(os.urandom(32 << 20))
    assert vitals.rss_bytes(os.getpid()) - before_bytes > len(kept) // 2
    assert vitals.address_space_bytes(os.getpid()) > vitals.rss_bytes(os.getpid())


def test_descriptors_and_threads_are_counted() -> None:
    pid, over = os.getpid(), threading.Event()
    before = vitals.open_descriptors(pid), vitals.threads(pid)
    thread = threading.Thread(target=over.wait)
    thread.start()
    descriptor = os.dup(0)
    try:
        assert (vitals.open_descriptors(pid), vitals.threads(pid)) == (before[0] + 1, before[1] + 1)
    finally:
        os.close(descriptor)
        over.set()
        thread.join()


def test_processor_time_is_that_of_the_process() -> None:
    ends_s = time.process_time() + 0.1
    while time.process_time() < ends_s:
        pass
    used = resource.getrusage(resource.RUSAGE_SELF)
    assert vitals.cpu_s(os.getpid()) == pytest.approx(used.ru_utime + used.ru_stime, abs=0.1)


@pytest.mark.parametrize("read", READERS)
def test_a_process_that_is_gone_is_told(read: Callable[[int], float]) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(ProcessLookupError, match=str(process.pid)):
        read(process.pid)
