"""The virtual network: who is connected to whom, how the lines are, and what is done to them.

Every connection has two wires. The faults are those that networks really make: pieces of any size,
delays, lines that stand still for a while, resets in the middle of a frame on both sides or on one,
and half-open connections, where one or both directions lose everything and nobody is ever told.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from reliability.virtual.end import HELLO, End
from reliability.virtual.trace import Kind
from reliability.virtual.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.virtual.loop import VirtualLoop
    from reliability.virtual.scheduler import Scheduler
    from reliability.virtual.sockets import AcceptedSocket, ListeningSocket, VirtualSocket

FIRST_DESCRIPTOR: Final = 1_000_000
"""Above every real descriptor, so that a mix-up fails at once."""

RESET_S: Final = 0.05
"""Within so much time a reset reaches either side."""


class Weather(Struct, frozen=True, kw_only=True):
    """How the lines of one run are.

    Attributes:
        latency_s: one way, the usual bounds.
        straggling: the chance that a piece takes ten times as long.
        splitting: the chance that a piece is cut in two.
        buffer_bytes: bounds of what the kernels of both sides hold in one direction.
    """

    latency_s: tuple[float, float] = (0.000_2, 0.02)
    straggling: float = 0.02
    splitting: float = 0.3
    buffer_bytes: tuple[int, int] = (2048, 65_536)


class Connection:
    """Two ends and two wires."""

    __slots__ = ("client", "server", "towards_client", "towards_server")

    def __init__(self, network: Network, client: VirtualLoop, server: VirtualLoop) -> None:
        up, down = network.wire(), network.wire()
        self.towards_server, self.towards_client = up, down
        self.client = up.source = down.target = End(network, client, up, down)
        self.server = down.source = up.target = End(network, server, down, up)


class Line:
    """What stands between one client machine and the server."""

    def __init__(self) -> None:
        self.is_down = False
        """New connections are refused."""
        self.is_silent = False
        """New connections get no answer."""


class Network:
    """All lines, listening sockets and connections."""

    def __init__(self, scheduler: Scheduler, weather: Weather, facts: dict[str, object]) -> None:
        """`facts` is what transports tell about a connection: above all its `ssl_object`."""
        self.scheduler = scheduler
        self.chance = scheduler.chance
        self.trace = scheduler.trace
        self.weather = weather
        self.facts = facts
        self.sockets: dict[int, VirtualSocket] = {}
        self.lines: dict[str, Line] = {}
        self.connections: list[Connection] = []
        self._listening: dict[int, ListeningSocket] = {}
        self._descriptors = itertools.count(FIRST_DESCRIPTOR)
        self._wires = itertools.count(1)

    @property
    def now_s(self) -> float:
        """The time."""
        return self.scheduler.now_s

    def latency_s(self) -> float:
        """Draw how long something takes from one side to the other."""
        low_s, high_s = self.weather.latency_s
        delay_s = low_s + (high_s - low_s) * self.chance.random()
        return delay_s * 10 if self.chance.random() < self.weather.straggling else delay_s

    def later(self, callback: Callable[..., object], *args: Any) -> None:
        """Call something after the time of one way."""
        self.scheduler.after(self.latency_s(), callback, *args)

    def wire(self) -> Wire:
        """Make one direction of a connection."""
        low, high = self.weather.buffer_bytes
        return Wire(self, next(self._wires), low + int(self.chance.random() * (high - low)))

    def line(self, name: str) -> Line:
        """Give the line of a machine."""
        return self.lines.setdefault(name, Line())

    # --- sockets ----------------------------------------------------------------------------------

    def add_socket(self, socket: VirtualSocket) -> int:
        """Give a socket its number."""
        number = next(self._descriptors)
        self.sockets[number] = socket
        return number

    def listen(self, socket: ListeningSocket, port: int) -> deque[End]:
        """Take connections for a port from now on."""
        self._listening[port] = socket
        return deque()

    def stop_listening(self, socket: ListeningSocket, port: int) -> None:
        """Refuse connections to a port from now on."""
        if self._listening.get(port) is socket:
            del self._listening[port]

    # --- connecting -------------------------------------------------------------------------------

    async def connect(
        self,
        loop: VirtualLoop,
        factory: Callable[[], asyncio.Protocol],
        host: object,
        port: int,
    ) -> tuple[End, asyncio.Protocol]:
        """Connect and shake hands, as `loop.create_connection` does with TLS.

        Raises:
            OSError: nobody listens, or they close at once. Without any answer it waits for ever.
        """
        dialled: asyncio.Future[End] = loop.create_future()
        self.later(self._knock, loop, port, dialled)
        try:
            end = await dialled
        except asyncio.CancelledError:
            if dialled.done() and not dialled.cancelled() and dialled.exception() is None:
                dialled.result().abort()
            raise
        protocol = factory()
        end.begin(protocol)
        end.write(HELLO)
        return end, protocol

    def _knock(self, loop: VirtualLoop, port: int, dialled: asyncio.Future[End]) -> None:
        """Let the first packet arrive at the server's machine."""
        line, listening = self.line(loop.name), self._listening.get(port)
        if line.is_silent or loop.dead:
            return
        if line.is_down or listening is None:
            error = ConnectionRefusedError(111, "Connection refused")
            self.later(loop.post, _fail, dialled, error)
            return
        connection = Connection(self, loop, listening.loop)
        self.connections.append(connection)
        listening.queue.append(connection.server)
        listening.alert()
        self.later(loop.post, self._greet, connection.client, dialled)

    def _greet(self, end: End, dialled: asyncio.Future[End]) -> None:
        """Begin TLS: the client speaks first."""

        def greeted(error: Exception | None) -> None:
            if dialled.done():
                end.abort()
            elif error is None:
                dialled.set_result(end)
            else:
                dialled.set_exception(error)

        if end.is_gone:
            return
        if dialled.done():
            end.abort()
            return
        end.greeted = greeted
        end.write(HELLO)
        end.read_greeting()

    async def shake_hands(
        self,
        loop: VirtualLoop,
        sock: AcceptedSocket,
        _context: object,
        factory: Callable[[], asyncio.Protocol],
        limit_s: float,
    ) -> None:
        """Answer the client's hello, and wait for its last part (`jim.server.tls_channel`).

        Raises:
            ConnectionAbortedError: it did not come in time.
            OSError: the connection broke.
        """
        end = sock.hand_over()
        finished: asyncio.Future[None] = loop.create_future()

        def second(error: Exception | None) -> None:
            if not finished.done():
                _settle(finished, error)

        def first(error: Exception | None) -> None:
            end.greeted = second
            if error is None:
                end.write(HELLO)
                end.read_greeting()
            else:
                second(error)

        end.greeted = first
        end.read_greeting()
        try:
            async with asyncio.timeout(limit_s):
                await finished
        except TimeoutError:
            end.abort()
            raise ConnectionAbortedError("SSL handshake is taking too long") from None
        except BaseException:
            end.abort()
            raise
        end.begin(factory())

    # --- faults -----------------------------------------------------------------------------------

    def open_connections(self, name: str) -> list[Connection]:
        """Give the connections of a machine (or of all with "") of which an end is still there."""
        self.connections = [
            each for each in self.connections if not (each.client.is_gone and each.server.is_gone)
        ]
        return [each for each in self.connections if not name or each.client.loop.name == name]

    def cut(self, connection: Connection) -> None:
        """Reset a connection on both sides, in the middle of whatever is on its way."""
        connection.towards_server.is_silent = connection.towards_client.is_silent = True
        for end in (connection.client, connection.server):
            self.scheduler.after(RESET_S * self.chance.random(), self._reset, end)

    def cut_one_side(self, connection: Connection, *, towards_server: bool) -> None:
        """Reset one side of a connection; the other is never told."""
        connection.towards_server.is_silent = connection.towards_client.is_silent = True
        self._reset(connection.server if towards_server else connection.client)

    def silence(self, connection: Connection, *, up: bool, down: bool) -> None:
        """Lose everything in one direction or both from now on; nobody is told."""
        connection.towards_server.is_silent |= up
        connection.towards_client.is_silent |= down

    def stall(self, connection: Connection, until_s: float) -> None:
        """Let nothing arrive before a time."""
        connection.towards_server.stalled_until_s = until_s
        connection.towards_client.stalled_until_s = until_s

    def end_process(self, loop: VirtualLoop, *, power: bool) -> None:
        """End the connections of a process; when the power fails the other side is not told."""
        for port, socket in list(self._listening.items()):
            if socket.loop is loop:
                del self._listening[port]
                self._end_all(list(socket.queue), power=power)
        ends = [end for each in self.connections for end in (each.client, each.server)]
        self._end_all([end for end in ends if end.loop is loop and not end.is_gone], power=power)

    def reboot(self, loop: VirtualLoop) -> None:
        """Let the machine of a process whose power failed answer again: with resets."""
        for each in self.connections:
            for end in (each.client, each.server):
                if end.loop is loop and end.is_gone:
                    end.come_back()

    def _end_all(self, ends: list[End], *, power: bool) -> None:
        for end in ends:
            if power:
                end.cut_power()
            else:
                end.hang_up()

    def _reset(self, end: End) -> None:
        self.trace.note(self.now_s, Kind.RESET, end.loop.number)
        end.was_reset()


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
