"""What the sessions of one server share: the parts that `service` has put together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from jim import __version__
from jim.core.linking import OfferBook
from jim.core.rate import Claims, Paces
from jim.crypto.handshake import Decoys
from jim.errors import StoreError
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from jim.core.admission import Admission
    from jim.core.hub import Hub
    from jim.core.ports import Store
    from jim.crypto.keys import SigningKey
    from jim.server.committer import Committer
    from jim.server.connection import Connection
    from jim.server.outbox import Outbox
    from jim.server.settings import Settings

log = logging.getLogger(__name__)

INCIDENT_BYTES: Final = 4
"""Of an incident's id: enough to find one line in the log, short enough to read to somebody."""


def now_ms() -> int:
    """Read the wall clock in milliseconds since the epoch, for time stamps only."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """Goes with the wall clock as it was at the start, and is not moved when somebody sets that."""

    __slots__ = ("_ahead_ms",)

    def __init__(self) -> None:
        self._ahead_ms = now_ms() - _monotonic_ms()

    def now_ms(self) -> int:
        """Read it, in milliseconds since the epoch."""
        return self._ahead_ms + _monotonic_ms()


def _monotonic_ms() -> int:
    return int(time.monotonic() * 1000)


class DeviceLocks:
    """One lock per device that is logging in, so that two logins of it come one after the other."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[int, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def held(self, device_id: int) -> AsyncIterator[None]:
        """Hold the lock of a device; it is forgotten when nobody waits for it."""
        lock, waiting = self._locks.get(device_id, (asyncio.Lock(), 0))
        self._locks[device_id] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[device_id]
            if waiting == 1:
                del self._locks[device_id]
            else:
                self._locks[device_id] = (lock, waiting - 1)


class Node:
    """The shared parts. Connections find everything here, so that each of them stays small."""

    def __init__(
        self,
        *,
        settings: Settings,
        identity: SigningKey,
        store: Store,
        hub: Hub,
        committer: Committer,
        outbox: Outbox,
        admission: Admission,
        on_failure: Callable[[StoreError], None],
        steady: SteadyClock,
    ) -> None:
        """Take the parts; `on_failure` ends the server after a failure of the store."""
        self.steady = steady
        self.loop = asyncio.get_running_loop()
        self.identity = identity
        self.store = store
        self.hub = hub
        self.committer = committer
        self.admission = admission
        self.decoys = Decoys()
        self.locks = DeviceLocks()
        self.paces = Paces()
        self.claims = Claims()
        self.offers = OfferBook(settings.limits)
        self.outbox = outbox
        self.connections: set[Connection] = set()
        self.draining = False
        self._departure: asyncio.Future[None] | None = None
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[None]] = set()
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Use these settings for what comes from now on; sessions keep the pace they began with."""
        self.settings = settings
        self.limits = settings.limits
        self.offers.apply(settings.limits)
        self.terms = m.encode_terms(_terms(settings))

    def departed(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.connections.discard(connection)
        if self._departure is not None:
            departure, self._departure = self._departure, None
            if not departure.done():
                departure.set_result(None)

    async def departure(self) -> None:
        """Wait until some connection is closed; for one caller, the drain."""
        self._departure = self.loop.create_future()
        await self._departure

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a task of a session; what it does not catch itself is logged."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def store_failed(self, error: StoreError) -> None:
        """Stop the server: what is on disk is unknown, and nobody may be told anything more."""
        self._on_failure(error)

    def incident(self, error: BaseException, where: str) -> str:
        """Log an unforeseen error with its traceback; give the id that the client is told."""
        incident = secrets.token_hex(INCIDENT_BYTES)
        log.error("incident %s in %s", incident, where, exc_info=error)
        return incident

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, StoreError):
            self.store_failed(error)
        else:
            self.incident(error, "a task")


def _terms(settings: Settings) -> m.Terms:
    limits = settings.limits
    policy = m.Policy(
        registration=settings.registration,
        plain=False,
        waiting_messages=limits.waiting_messages,
        waiting_days=limits.waiting_days,
    )
    return m.Terms(
        versions=[m.VERSION],
        server=f"jim/{__version__}",
        limits=limits.announced(),
        policy=policy,
    )
