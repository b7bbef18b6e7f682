"""Drive commits: whenever none is in flight and messages have gathered, commit all of it at once.

No message waits for a timer. A batch is what arrived while the last one was being written; the
first one of a quiet server is everything that arrived in one turn of the loop. Confirmations ride
with the next messages: a commit of their own would be as dear as one for a message, and double the
writes of a busy server. Only where no message comes they get one, a moment later. After a failure
nothing is acknowledged any more: what is on disk is then unknown until the store is opened again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from jim.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from jim.core.hub import Hub
    from jim.core.model import Batch
    from jim.core.ports import Store

CONFIRM_S: Final = 0.02
"""How long confirmations wait for a message at most. What hangs on them is the "delivered" of the
sender and room in the mailbox; below 100 ms a person takes an answer for instantaneous (J. Nielsen,
Usability Engineering, 1993), and that leaves 80 ms to the network."""


class Committer:
    """Carries batches from the hub to the store and the results back."""

    def __init__(
        self,
        hub: Hub,
        store: Store,
        sending: AbstractContextManager[None],
        now_ms: Callable[[], int],
        on_failure: Callable[[StoreError], None],
        steady_ms: Callable[[], int],
    ) -> None:
        """`on_failure` is called once, with the error that ended all committing.

        `sending` is entered while results are handed on, which makes a lot of frames at once.
        `now_ms` is what messages are stamped with, `steady_ms` the clock that nobody sets.
        """
        self._hub = hub
        self._store = store
        self._sending = sending
        self._now_ms = now_ms
        self._steady_ms = steady_ms
        self._on_failure = on_failure
        self._running: asyncio.Task[None] | None = None
        self._failed = False
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        """Confirmations have waited long enough."""

    def wake(self) -> None:
        """Commit soon: after this turn of the loop, or right after the commit in flight."""
        if self._running is None and not self._failed:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def wake_later(self) -> None:
        """Commit within `CONFIRM_S`: there is a confirmation."""
        if self._timer is None and not self._failed:
            self._timer = asyncio.get_running_loop().call_later(CONFIRM_S, self._wait_no_longer)

    def _wait_no_longer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_due = True
        self.wake()

    async def settled(self) -> None:
        """Wait until everything that has gathered so far is durable and answered.

        Raises:
            StoreError: it will never be.
        """
        if self._timer is not None:
            self._wait_no_longer()
        if self._running is not None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
        if self._failed:
            raise StoreError

    async def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                covered, self._waiting = self._waiting, []
                batch.steady_ms = self._steady_ms()
                try:
                    result = await self._store.commit(batch, self._now_ms())
                    with self._sending:
                        self._hub.committed(result)
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

    def _next(self) -> Batch | None:
        if not self._hub.has_messages and not self._is_due:
            return None
        self._is_due = False
        return self._hub.take()

    def _fail(self, error: StoreError) -> None:
        self._failed = True
        self._on_failure(error)


def _release(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
