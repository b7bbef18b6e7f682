"""A thread that owns a connection: calls come in a queue and are answered on the event loop.

Calls run strictly in the order in which they were made, one at a time. Cancelling the caller does
not undo or skip its call. The worker knows nothing of databases.
"""

from __future__ import annotations

import asyncio
import contextlib
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jim.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_Job = tuple["Callable[[], Any]", "asyncio.Future[Any]"]

JOIN_S: Final = 5.0
"""How long `aclose` waits for the thread after its last call: it has nothing left but to return."""


class Worker:
    """One thread and its queue."""

    def __init__(self, name: str) -> None:
        """Start the thread; `name` shows up in stack dumps."""
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self._start_thread(name)

    @property
    def closed(self) -> bool:
        """Whether `aclose` has been called."""
        return self._closed

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function in the thread, after every earlier call, and give or raise what it does.

        Raises:
            StoreError: the worker is closed.
        """
        if self._closed:
            raise StoreError("the store is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((function, future))
        return await future

    async def aclose(self, last: Callable[[], None]) -> None:
        """Finish what was submitted, run `last`, and end the thread; a second time does nothing."""
        if self._closed:
            return
        future = asyncio.get_running_loop().create_future()
        self._closed = True
        self._jobs.put((last, future))
        self._jobs.put(None)
        # Shielded: a cancelled caller must not leave the thread half closed and unobserved.
        await asyncio.shield(future)
        await self._ended()

    def _start_thread(self, name: str) -> None:
        """Start the thread. A simulation takes its place here, and carries the jobs out itself."""
        # A daemon: what was answered is durable, so an abandoned store need not hold up the exit.
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def _ended(self) -> None:
        """Wait until the thread has returned."""
        await asyncio.to_thread(self._thread.join, JOIN_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._carry_out(*job)
            # What the call held must not live until the next one comes.
            job = None

    @staticmethod
    def _carry_out(function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised again where the call is awaited
            _answer(future, error, _fail)
        else:
            _answer(future, result, _resolve)


def _answer(
    future: asyncio.Future[Any], value: Any, settle: Callable[[asyncio.Future[Any], Any], None]
) -> None:
    # The loop may be gone when a caller did not wait; what the call has done stays done.
    with contextlib.suppress(RuntimeError):
        future.get_loop().call_soon_threadsafe(settle, future, value)


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
