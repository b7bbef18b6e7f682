"""Processes of the load generator: start them, tell them what to do, hear what they say.

A worker is a module-level coroutine function that gets a `Boss`. The pipe carries tuples: a word
and what belongs to it. Workers are started fresh (spawn), so nothing of the harness leaks in.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks.targets import raise_descriptor_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from multiprocessing.connection import Connection

    Work = Callable[["Boss", Any], Awaitable[None]]

END_S = 20.0
"""To wait for a worker that was told to end, or has lost its harness."""

_SPAWN = multiprocessing.get_context("spawn")


class Boss:
    """The harness, as a worker sees it."""

    def __init__(self, pipe: Connection) -> None:
        """Take the worker's end of the pipe, inside a running loop."""
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()
        self._heard: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        # In a thread: uvloop would make the pipe non-blocking, and large words come in pieces.
        threading.Thread(target=self._read, name="boss", daemon=True).start()

    async def hear(self) -> tuple[str, Any]:
        """Wait for the next word; "end" when the harness is gone."""
        return await self._heard.get()

    def tell(self, word: str, value: Any = None) -> None:
        """Say something to the harness."""
        self._pipe.send((word, value))

    def _read(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the harness
            try:
                while True:
                    self._loop.call_soon_threadsafe(self._heard.put_nowait, self._pipe.recv())
            except (EOFError, OSError):
                self._loop.call_soon_threadsafe(self._heard.put_nowait, ("end", None))


class Worker:
    """A generator process, as the harness sees it."""

    def __init__(self, work: Work, orders: Any) -> None:
        """Start the process."""
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_run, args=(work, orders, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._unread: list[tuple[str, Any]] = []

    def tell(self, word: str, value: Any = None) -> None:
        """Say something to the worker.

        Raises:
            RuntimeError: the worker failed or ended.
        """
        try:
            self._pipe.send((word, value))
        except OSError:
            self.hear("its last words", END_S)

    def hear(self, word: str, wait_s: float) -> Any:
        """Wait for a word and give its value; other words are kept for later.

        Raises:
            RuntimeError: the worker failed or ended.
            TimeoutError: it did not say that in time.
        """
        deadline_s = time.monotonic() + wait_s
        while True:
            for place, (said, value) in enumerate(self._unread):
                if said == word:
                    del self._unread[place]
                    return value
            if not self._pipe.poll(max(0.0, deadline_s - time.monotonic())):
                raise TimeoutError(f"no {word!r} from the generator within {wait_s:g} s")
            try:
                said, value = self._pipe.recv()
            except (EOFError, OSError):
                self._process.join(END_S)
                status = self._process.exitcode
                text = f"the generator ended ({status}) before it said {word!r}"
                raise RuntimeError(text) from None
            if said == "failed":
                raise RuntimeError(f"the generator failed:\n{value}")
            self._unread.append((said, value))

    def freeze(self) -> None:
        """Stop the process in the middle of whatever it does: it reads nothing more."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it, kindly at first."""
        with contextlib.suppress(OSError):
            self.thaw()
            self._pipe.send(("end", None))
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(END_S)
        self._pipe.close()


@contextlib.contextmanager
def crew(*jobs: tuple[Work, Any]) -> Iterator[list[Worker]]:
    """Run workers for the length of a block."""
    workers: list[Worker] = []
    try:
        for work, orders in jobs:
            workers.append(Worker(work, orders))
        yield workers
    finally:
        for worker in workers:
            worker.close()


def _run(work: Work, orders: Any, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise_descriptor_limit()

    async def go() -> None:
        await work(Boss(pipe), orders)

    try:
        uvloop.run(go())
    except BaseException:  # noqa: BLE001 - told to the harness, which raises it
        with contextlib.suppress(OSError):
            pipe.send(("failed", traceback.format_exc()))
