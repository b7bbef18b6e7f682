"""The threads of stores, without threads: their real code, run in steps at drawn moments.

`jim.client.writer.Writer` and `jim.storage.sqlite.worker.Worker` keep their queues, their grouping
and their commits; only the loop that waits for the next job is replaced. A process that dies
between two steps has done the earlier one and not the later one, whoever has heard of it.
"""

from __future__ import annotations

import asyncio
import queue
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jim.client.writer import Writer
from jim.storage.sqlite.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.virtual.loop import VirtualLoop

JobT = TypeVar("JobT")
StoreT = TypeVar("StoreT")


class Jobs(queue.SimpleQueue[JobT]):
    """A queue that has its owner called some time after something was put in."""

    def __init__(self, loop: VirtualLoop, step: Callable[[], None]) -> None:
        super().__init__()
        self._loop = loop
        self._step = step
        self._is_due = False
        self.is_over = False

    def put(self, item: JobT, block: bool = True, timeout: float | None = None) -> None:
        """Add a job, and have it done."""
        super().put(item)
        self.wake()

    def wake(self) -> None:
        """Have the next step done after a drawn time, once."""
        if self._is_due or self.is_over:
            return
        self._is_due = True
        low_s, high_s = self._loop.disk_s
        delay_s = low_s + (high_s - low_s) * self._loop.scheduler.chance.random() ** 4
        self._loop.scheduler.after(delay_s, self._loop.run_outside, self._work)

    def _work(self) -> None:
        self._is_due = False
        self._step()
        if not self.empty():
            self.wake()


class VirtualWriter(Writer[StoreT]):
    """The client's writer on a virtual loop."""

    def _start_thread(self) -> None:
        early = self._jobs
        loop = cast("VirtualLoop", self._loop)
        self._steps: Jobs[Any] = Jobs(loop, self._next)
        self._jobs = self._steps
        self._is_open = False
        while not early.empty():
            self._steps.put(early.get_nowait())
        self._steps.wake()

    def _next(self) -> None:
        """Do what the thread does until it waits again."""
        if not self._is_open:
            self._is_open = self._open()
            self._steps.is_over = not self._is_open
            return
        first = self._jobs.get_nowait()
        if first is None:
            self._steps.is_over = True
            self._close()
        else:
            self._run_waiting(first)


class VirtualWorker(Worker):
    """The server's worker on a virtual loop."""

    def _start_thread(self, name: str) -> None:
        loop = cast("VirtualLoop", asyncio.get_running_loop())
        self._jobs = Jobs[Any](loop, self._next)

    def _next(self) -> None:
        job = self._jobs.get_nowait()
        if job is not None:
            self._carry_out(*job)

    async def _ended(self) -> None:
        """Have no thread to wait for."""
