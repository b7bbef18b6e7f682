"""A whole server inside the test: real sockets on the loopback, a real database in a directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from jim.bus.local import LocalBus
from jim.core.limits import Limits
from jim.server.admin import DATABASE
from jim.server.identity import load_identity, load_tls
from jim.server.listener import open_sockets
from jim.server.loops import loop_factory
from jim.server.service import Service
from jim.server.settings import Settings
from jim.storage.sqlite import open_store
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from jim.core.ports import Store

T = TypeVar("T")

LOOPS = ("asyncio", "uvloop") if os.name == "posix" else ("asyncio",)

QUICK = Limits(messages_per_s=0, bytes_per_s=0, exempt_networks=("127.0.0.0/8", "::1/128"))
"""Limits that do not get into the way of a test about something else."""


def run_on(loop: str, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop of that name."""
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        return runner.run(coroutine)


@dataclass
class Serving:
    """A server that is running, and what a test wants to do with it."""

    service: Service
    store: Store
    directory: Path
    wires: list[Wire] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.service.addresses[0].rpartition(":")[2])

    async def wire(self, **options: Any) -> Wire:
        wire = await Wire.connect(self.port, **options)
        self.wires.append(wire)
        return wire

    async def join(self, name: str | Person, **options: Any) -> tuple[Wire, Person]:
        """Register somebody and stay logged in."""
        person = Person(name) if isinstance(name, str) else name
        wire = await self.wire(**options)
        await wire.register(person)
        return wire, person

    async def back(self, person: Person, **options: Any) -> Wire:
        """Log somebody in again."""
        wire = await self.wire(**options)
        await wire.login(person)
        return wire

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect without TLS."""
        return await asyncio.open_connection("127.0.0.1", self.port)


@contextlib.asynccontextmanager
async def serving(
    directory: Path,
    limits: Limits = QUICK,
    wrap: Callable[[Store], Store] | None = None,
    **settings: Any,
) -> AsyncIterator[Serving]:
    """Serve on a free port of the loopback until the end of the block."""
    chosen = Settings(
        address="127.0.0.1", port=0, data_dir=str(directory), limits=limits, **settings
    )
    sockets = open_sockets(chosen.address, chosen.port)
    identity, tls = load_identity(directory, DATABASE), load_tls(chosen)
    opened = await open_store(directory / "server.db", limits)
    store: Store = wrap(opened) if wrap else opened
    service = Service(chosen, identity, tls, store, LocalBus())
    service.open(sockets)
    running = Serving(service, store, directory)
    try:
        yield running
    finally:
        for wire in running.wires:
            wire.close()
        await service.drain()
        await opened.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so; for states that have no event to wait for."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)
