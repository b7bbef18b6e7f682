"""Work for an account that runs beside what caused it; where the store fails, the client ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jim.client.account_store import AccountStore
    from jim.client.accounts import Account

ResultT = TypeVar("ResultT")


class Jobs:
    """Coroutines, and changes of the store, that nobody waits for."""

    def __init__(self, account: Account, fail: Callable[[Exception], None]) -> None:
        """Take an open account, and what to call when its store fails."""
        self._account, self._fail = account, fail
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, errand: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside."""
        task = asyncio.create_task(errand)
        self._tasks.add(task)

        def finish(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            if not finished.cancelled() and isinstance(error := finished.exception(), Exception):
                self._fail(error)

        task.add_done_callback(finish)
        return task

    def write(
        self, work: Callable[[AccountStore], ResultT], done: Callable[[ResultT], None]
    ) -> asyncio.Future[ResultT]:
        """Change the store; `done` is called once it is durable, in the order of the calls."""
        future = self._account.writer.write(work)

        def finish(finished: asyncio.Future[ResultT]) -> None:
            if finished.cancelled():
                return
            if (error := finished.exception()) is None:
                done(finished.result())
            elif isinstance(error, Exception):
                self._fail(error)

        future.add_done_callback(finish)
        return future

    async def aclose(self) -> None:
        """Cancel what runs beside; what the store was told is still carried out."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
