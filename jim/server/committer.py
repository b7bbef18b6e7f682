"""Drive commits: whenever none is in flight and something has gathered, commit all of it at once.

There is no timer. A batch is what arrived while the last one was being written; the first one of a
quiet server is everything that arrived in one turn of the loop. After a failure nothing is
acknowledged any more: what is on disk is then unknown until the store is opened again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jim.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.hub import Hub
    from jim.core.ports import Store


class Committer:
    """Carries batches from the hub to the store and the results back."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        now_ms: Callable[[], int],
        on_failure: Callable[[StoreError], None],
        steady_ms: Callable[[], int],
    ) -> None:
        """`on_failure` is called once, with the error that ended all committing.

        `now_ms` is what messages are stamped with, `steady_ms` the clock that nobody sets.
        """
        self._hub = hub
        self._store = store
        self._now_ms = now_ms
        self._steady_ms = steady_ms
        self._on_failure = on_failure
        self._running: asyncio.Task[None] | None = None
        self._failed = False
        self._waiting: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Commit soon: after this turn of the loop, or right after the commit in flight."""
        if self._running is None and not self._failed:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def settled(self) -> None:
        """Wait until everything that has gathered so far is durable and answered.

        Raises:
            StoreError: it will never be.
        """
        if self._running is not None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        if self._failed:
            raise StoreError

    async def _run(self) -> None:
        try:
            while (batch := self._hub.take()) is not None:
                covered, self._waiting = self._waiting, []
                batch.steady_ms = self._steady_ms()
                try:
                    self._hub.committed(await self._store.commit(batch, self._now_ms()))
                finally:
                    _release(covered)
        except StoreError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - an unknown outcome is a failure of the store
            failure = StoreError(f"the commit ended with {type(error).__name__}")
            failure.__cause__ = error
            self._fail(failure)
        finally:
            self._running = None
            _release(self._waiting)
            self._waiting = []

    def _fail(self, error: StoreError) -> None:
        self._failed = True
        self._on_failure(error)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
