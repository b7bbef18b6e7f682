"""Stop a process in the middle of whatever it does, and let it go on: SIGSTOP and SIGCONT."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPED: Final = "T"
"""The state of a stopped process in /proc (proc(5))."""

SEEN_WITHIN_S: Final = 5.0
"""A signal takes effect in microseconds; a machine with nothing to spare may need longer."""

_LOOK_S: Final = 0.002


def states(pid: int) -> set[str]:
    """Give the states of all threads of a process.

    Raises:
        NotTaken: there is no such process.
    """
    found = set()
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # The name in brackets before it may hold anything.
                found.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotTaken(f"process {pid} is gone") from error
    return found


def freeze(pid: int) -> None:
    """Stop every thread of a process, and see that they stand.

    Raises:
        NotTaken: they do not.
    """
    _send(pid, signal.SIGSTOP)
    _wait(pid, frozen=True)


def thaw(pid: int) -> None:
    """Let a frozen process go on, and see that it does.

    Raises:
        NotTaken: it does not.
    """
    _send(pid, signal.SIGCONT)
    _wait(pid, frozen=False)


@contextlib.contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Keep processes frozen for as long as the block takes, also when it raises."""
    stopped: list[int] = []
    try:
        for pid in pids:
            stopped.append(pid)
            freeze(pid)
        yield
    finally:
        for pid in stopped:
            with contextlib.suppress(NotTaken):
                thaw(pid)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError as error:
        raise NotTaken(f"process {pid} is gone") from error


def _wait(pid: int, *, frozen: bool) -> None:
    give_up_s = time.monotonic() + SEEN_WITHIN_S
    while ((found := states(pid)) == {STOPPED}) is not frozen:
        if time.monotonic() > give_up_s:
            raise NotTaken(f"process {pid} is in the states {', '.join(sorted(found))}")
        time.sleep(_LOOK_S)
