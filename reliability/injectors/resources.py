"""Take descriptors or memory away from a process that runs, and give them back.

The limits are set from outside (prlimit(2)): the process has started well and meets its limit in
the middle of its work.
"""

from __future__ import annotations

import contextlib
import resource
from typing import TYPE_CHECKING

from reliability import vitals
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def few_descriptors(pid: int, more: int) -> Iterator[int]:
    """Let a process have only so many descriptors more than now; gives the limit."""
    with _limited(pid, resource.RLIMIT_NOFILE, vitals.open_descriptors, more) as limit:
        yield limit


@contextlib.contextmanager
def little_memory(pid: int, more_bytes: int) -> Iterator[int]:
    """Let a process map only so much more than now; gives the limit in bytes."""
    with _limited(pid, resource.RLIMIT_AS, vitals.address_space_bytes, more_bytes) as limit:
        yield limit


@contextlib.contextmanager
def _limited(pid: int, kind: int, used: Callable[[int], int], more: int) -> Iterator[int]:
    """Set the soft limit; the hard one stays, so that it can be given back without privileges."""
    try:
        soft = used(pid) + more
        before = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (soft, before[1]))
    except ProcessLookupError as error:
        raise NotTaken(f"process {pid} is gone") from error
    if resource.prlimit(pid, kind)[0] != soft:
        raise NotTaken(f"process {pid} does not have the limit of {soft}")
    try:
        yield soft
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, kind, before)
