"""The running server: opens its door, changes settings while it runs, and ends without loss."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from jim.core import names
from jim.core.admission import Admission
from jim.core.hub import Hub
from jim.decorators import log_calls
from jim.errors import Shutdown, StoreError
from jim.server.committer import Committer
from jim.server.door import Door
from jim.server.listener import Listener, shown
from jim.server.liveness import Liveness
from jim.server.node import Node, SteadyClock, now_ms
from jim.server.outbox import Outbox
from jim.server.stage import Hold

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from jim.core.ports import Bus, Store
    from jim.crypto.keys import SigningKey
    from jim.crypto.tls import ServerTls
    from jim.server.settings import Settings

log = logging.getLogger(__name__)

RETURN_MS: Final = (500, 5_000)
"""When clients come back after a shutdown, spread at random: a restart takes about a second, and
15,000 logins at 1,800 a second take eight."""


DRAINED_BY: Final = 0.8
"""The part of `drain_s` that clients have to read the goodbye and leave. The rest is kept for
closing the store and ending the process: 1 s of the default."""


class Service:
    """One server. Make it inside a running loop, `open` it, wait for `ended`, then `drain`."""

    def __init__(
        self, settings: Settings, identity: SigningKey, tls: ServerTls, store: Store, bus: Bus
    ) -> None:
        """Put the parts together; nothing happens yet."""
        loop = asyncio.get_running_loop()
        self.failure: StoreError | None = None
        self.ended = asyncio.Event()
        """Set when the server has to go down: a signal, or a failure of the store."""
        self.hub = Hub(bus, settings.limits, now_ms)
        steady = SteadyClock()
        outbox = Outbox(loop)
        self.committer = Committer(self.hub, store, outbox, now_ms, self.fail, steady.now_ms)
        self.admission = Admission(settings.limits, random.random)
        self.node = Node(
            settings=settings,
            identity=identity,
            store=store,
            hub=self.hub,
            committer=self.committer,
            outbox=outbox,
            admission=self.admission,
            on_failure=self.fail,
            steady=steady,
        )
        self.door = Door(self.node, tls)
        self._loop = loop
        self._has_drained = False
        self._listener: Listener | None = None
        self._liveness: Liveness | None = None
        self.addresses: list[str] = []

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.node.settings

    @log_calls
    def open(self, sockets: Sequence[socket.socket]) -> None:
        """Begin to accept on sockets that are bound."""
        names.skeleton("jim")  # reads its tables now (20 ms), not while a first guest waits
        self.addresses = [shown(sock) for sock in sockets]
        self._listener = Listener(sockets, self.door.accept)
        self._liveness = Liveness(self.node)

    @log_calls
    def apply(self, settings: Settings, tls: ServerTls) -> None:
        """Use other settings and another certificate for what comes from now on."""
        self.door.tls = tls
        self.node.apply(settings)
        self.hub.apply(settings.limits)
        self.admission.apply(settings.limits)

    def fail(self, error: StoreError) -> None:
        """End at once: nobody is told anything more, because nobody knows what is on disk.

        After the drain it is no failure: what a session was still about meets a store that is being
        closed, and nobody is there to be answered.
        """
        if self.failure is not None or self._has_drained:
            return
        self.failure = error
        log.critical("the store has failed, the server stops: %s", error, exc_info=error.__cause__)
        self._stop_accepting()
        for connection in list(self.node.connections):
            connection.abort()
        self.ended.set()

    @log_calls
    async def drain(self) -> None:
        """Go down without loss: accept and read no more, commit what is in, say goodbye.

        Takes `DRAINED_BY` of `drain_s` at most; who has not read the goodbye by then is cut off.
        """
        deadline_s = self._loop.time() + self.settings.limits.drain_s * DRAINED_BY
        self.node.draining = True
        self._stop_accepting()
        for connection in list(self.node.connections):
            connection.hold(Hold.DRAIN)
        try:
            async with asyncio.timeout_at(deadline_s):
                await self.committer.settled()
                self._say_goodbye()
                await self._empty()
        except TimeoutError:
            log.warning("%d clients did not close in time", len(self.node.connections))
        except StoreError:
            log.info("the store has failed: closing without a goodbye")
        for connection in list(self.node.connections):
            connection.abort()
        self._has_drained = True

    def _stop_accepting(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._liveness is not None:
            self._liveness.stop()
        self.door.aclose()

    def _say_goodbye(self) -> None:
        for connection in list(self.node.connections):
            wait_ms = random.randint(*RETURN_MS)  # noqa: S311 - spreads load, protects nothing
            connection.close(Shutdown(retry_after_ms=wait_ms))

    async def _empty(self) -> None:
        """Wait until the last connection is closed."""
        while self.node.connections:
            await self.node.departure()
