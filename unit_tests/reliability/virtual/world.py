"""What the tests of the virtual world build it from: a scheduler, a network, loops, a talk."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from reliability.virtual.loop import VirtualLoop, WallClock
from reliability.virtual.network import Network, Weather
from reliability.virtual.scheduler import Scheduler
from reliability.virtual.sockets import AcceptedSocket, ListeningSocket
from reliability.virtual.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Coroutine

PORT = 7


class Small:
    """A client process, a server process, and what is between them."""

    def __init__(self, seed: int = 1, weather: Weather | None = None) -> None:
        self.trace = Trace(100)
        self.scheduler = Scheduler(random.Random(seed), self.trace)
        self.network = Network(self.scheduler, weather or Weather(straggling=0.0), {})
        self.loops = [
            VirtualLoop(self.scheduler, self.network, name, number, WallClock())
            for number, name in enumerate(("client", "server"), 1)
        ]
        self.client, self.server = self.loops

    def run(self, coroutine: Coroutine[Any, Any, Any], loop: VirtualLoop | None = None) -> Any:
        """Run until it is done, and give what it gives."""
        task = (loop or self.client).create_task(coroutine)
        assert self.scheduler.run_until(task.done, 10_000.0, 1_000_000)
        return task.result()

    def pass_s(self, seconds: float) -> None:
        """Let time pass."""
        over = self.scheduler.now_s + seconds
        self.scheduler.at(over, lambda: None)
        self.scheduler.run_until(lambda: self.scheduler.now_s >= over, 10_000.0, 1_000_000)

    def close(self) -> None:
        for loop in self.loops:
            loop.die()
            loop.dispose()


class Noted(asyncio.Protocol):
    """Remembers what its transport told it."""

    def __init__(self) -> None:
        self.data = b""
        self.pieces: list[int] = []
        self.events: list[str] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.pieces.append(len(data))

    def eof_received(self) -> None:
        self.events.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost" if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")


def connected(small: Small) -> tuple[Noted, Noted]:
    """Connect the two; gives the client's side and the server's."""
    listening = ListeningSocket(small.network, small.server, "127.0.0.1", PORT)
    theirs = Noted()

    def accept() -> None:
        sock, _ = listening.accept()
        small.server.remove_reader(listening.fileno())
        small.server.create_task(shake_hands(sock))

    async def shake_hands(sock: AcceptedSocket) -> None:
        await small.network.shake_hands(small.server, sock, None, lambda: theirs, 5.0)

    small.server.add_reader(listening.fileno(), accept)
    _, ours = small.run(small.client.create_connection(Noted, "127.0.0.1", PORT))
    small.pass_s(1.0)
    assert theirs.transport is not None
    return ours, theirs
