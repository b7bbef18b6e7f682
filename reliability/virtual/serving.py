"""The server in the virtual world, over all its lives: the real service on the virtual network."""

from __future__ import annotations

import contextlib
import functools
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from jim.bus.local import LocalBus
from jim.core.model import Registration
from jim.crypto.tls import ServerTls
from jim.errors import JimError
from jim.protocol.messages import REVOKE
from jim.server.service import Service
from jim.server.settings import Settings
from jim.storage.memory import MemoryStore
from jim.storage.sqlite import open_store
from reliability.history import Fault
from reliability.virtual.cast import tmpfs
from reliability.virtual.people import HOST, PORT
from reliability.virtual.sockets import ListeningSocket
from reliability.virtual.store import SlowStore, finish_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.core.limits import Limits
    from jim.core.model import Batch, Committed, Enrolment
    from jim.core.ports import Store
    from jim.storage.sqlite.store import SqliteStore
    from reliability.virtual.loop import VirtualLoop
    from reliability.virtual.world import World

T = TypeVar("T")

DATABASE = "jim.db"

RESTART_S = 0.5
"""Until a server that has stopped by itself is started again."""


class InOrder(dict[T, None]):
    """A set that is gone through in the same order, whatever the addresses of its members."""

    def add(self, item: T) -> None:
        """Add a member."""
        self[item] = None

    def discard(self, item: T) -> None:
        """Remove a member, if it is one."""
        self.pop(item, None)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self.keys()))


class MemoryDisk:
    """A disk with a memory store on it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._memory = MemoryStore(world.conditions.limits)
        self._running: SlowStore | None = None
        for arrival in world.cast.arrivals:
            finish_now(_arrive(self._memory, arrival))

    async def open(self, loop: VirtualLoop) -> Store:
        """Give the store to a new process."""
        self._running = SlowStore(self._memory, loop, self._world.pace, self._world)
        return self._running

    def crash(self) -> None:
        """Lose what is not durable."""
        if self._running is not None:
            self._running.crash()
            self._running = None

    def backlog(self, name: str, index: int) -> tuple[int, int] | None:
        """Give a device's last position and how much is confirmed; None if there is no such one."""
        account = finish_now(self._memory.find_account(name))
        if account is None or len(account.devices) <= index:
            return None
        standing = finish_now(self._memory.standing(account.devices[index].device_id))
        return standing.position, standing.acked

    def device_id(self, name: str, index: int) -> int:
        """Give the number under which the store knows a device, 0 if it does not."""
        account = finish_now(self._memory.find_account(name))
        if account is None or len(account.devices) <= index:
            return 0
        return account.devices[index].device_id

    def destroy(self) -> None:
        """Have nothing to remove."""


class SqliteDisk:
    """A directory with the real store in it; each life of the server begins with a copy."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folder = Path(tempfile.mkdtemp(prefix="jim-virtual-", dir=tmpfs()))
        self._life = 0
        self._is_peopled = False
        self._stores: list[SqliteStore] = []

    async def open(self, _: VirtualLoop) -> Store:
        """Open what the last life left, as it lies there."""
        before, here = self._folder / str(self._life), self._folder / str(self._life + 1)
        self._life += 1
        if before.exists():
            shutil.copytree(before, here)
        store = await open_store(here / DATABASE, self._world.conditions.limits)
        self._stores.append(store)
        self._watch(store)
        if not self._is_peopled:
            # Also after a crash in the middle of it: who is there already arrives in vain.
            for arrival in self._world.cast.arrivals:
                await _arrive(store, arrival)
            self._is_peopled = True
        return store

    def _watch(self, store: SqliteStore) -> None:
        """Let the world see what is committed, as it becomes durable."""
        batches = store._batches  # noqa: SLF001 - a look from outside
        usual = batches.commit

        def commit(batch: Batch, limits: Limits, now_ms: int) -> Committed:
            committed = usual(batch, limits, now_ms)
            self._world.stored(batch, committed)
            return committed

        batches.commit = commit  # type: ignore[method-assign]

    def crash(self) -> None:
        """Lose nothing: a job of the real store is done as a whole or not at all."""

    def backlog(self, name: str, index: int) -> tuple[int, int] | None:
        """Give a device's last position and how much is confirmed."""
        # Of the counters: the tables are some commits behind.
        account = self._stores[-1]._counters.find(name)  # noqa: SLF001 - a look from outside
        if account is None or index >= len(account.devices):
            return None
        device = account.devices[index]
        return device.last_position, device.acked

    def device_id(self, name: str, index: int) -> int:
        """Give the number under which the store knows a device, 0 if it does not."""
        # By a connection of its own: the server may have closed the store by now.
        path = self._folder / str(self._life) / DATABASE
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reading:
            found = reading.execute(
                "SELECT device_id FROM device JOIN account USING (account_id)"
                " WHERE name = ? ORDER BY device_id",
                (name,),
            ).fetchall()
        return int(found[index][0]) if index < len(found) else 0

    def destroy(self) -> None:
        """Close and remove everything."""
        for store in self._stores:
            store._connection.close()  # noqa: SLF001 - of processes that are dead
            store._reader.close()  # noqa: SLF001
            store._lock.release()  # noqa: SLF001
        shutil.rmtree(self._folder)


async def _arrive(store: Store, arrival: Registration | Enrolment) -> None:
    """Make the store know an account or a device."""
    if isinstance(arrival, Registration):
        await store.register(arrival, 1)
    elif arrival.link.op == REVOKE:
        await store.extend(arrival, 1)
    else:
        await store.enrol(arrival, 1)


class Server:
    """The process that serves, and the next one after it."""

    def __init__(self, world: World) -> None:
        self.loop: VirtualLoop | None = None
        self.service: Service | None = None
        self.disk: Any = SqliteDisk(world) if world.conditions.sqlite else MemoryDisk(world)
        self._world = world

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.loop is not None and not self.loop.dead

    def begin_life(self) -> None:
        """Start the process, unless it runs."""
        if self.is_alive:
            return
        if self.loop is not None:
            self._world.network.reboot(self.loop)
        self.loop = loop = self._world.make_loop("server")
        loop.on_fuse = lambda: self.crash(power=False)
        loop.create_task(self._live(loop))

    def crash(self, *, power: bool) -> None:
        """Die without a word."""
        if self.loop is not None and not self.loop.dead:
            self.service = None
            self.loop.die()
            self.disk.crash()
            self._world.network.end_process(self.loop, power=power)

    def drain(self) -> None:
        """End as after SIGTERM."""
        if self.loop is not None and self.service is not None:
            self.loop.post(self.service.ended.set)

    async def _live(self, loop: VirtualLoop) -> None:
        world = self._world
        store = await self.disk.open(loop)
        identity = world.cast.identity
        tls = ServerTls(cast("Any", None), identity.spki)
        settings = Settings(limits=world.conditions.limits)
        service = Service(settings, identity.key, tls, store, LocalBus())
        service.node.connections = cast("Any", InOrder())
        service.door._accept_tls = functools.partial(world.network.shake_hands, loop)  # noqa: SLF001
        service.door._knocking = cast("Any", InOrder())  # noqa: SLF001 - only its order changes
        service.open([cast("Any", ListeningSocket(world.network, loop, HOST, PORT))])
        self.service = service
        await service.ended.wait()
        await service.drain()
        try:
            await store.aclose()
        except JimError as error:
            world.record(Fault(world.now_s, "store_closed_after_failure", detail=str(error)))
        self.crash(power=False)
        world.scheduler.after(RESTART_S, world.start_server)
