"""A TCP proxy that spoils what passes through it: late, held, lost, slow, torn off in mid-frame.

It sees bytes, never frames: TLS hides them, and a real network does not know them either. Whatever
it does to a connection a network could do: bytes are never changed, swapped or left out of a
stream that goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine

CHUNK_BYTES: Final = 16 * 1024
"""Read at once: a TLS record (RFC 8446, 5.1), so that a fault can strike between two of them."""

QUEUED_CHUNKS: Final = 64
"""On their way in one direction of one connection, 1 MiB at most: a long fat network."""

SLICES_PER_S: Final = 20
"""A throttled stream moves in steps of 50 ms: fine enough to end in the middle of a frame."""

_LINGER_0: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with 0 s: closing sends a reset (tcp(7), socket(7))."""


class Tally(Struct):
    """What has happened in one direction, all connections together."""

    passed_bytes: int = 0
    delayed_bytes: int = 0
    held_bytes: int = 0
    """Came while nothing got through; passed later, or lost."""
    lost_bytes: int = 0
    """Taken from the sender, whose system believes them delivered, and never passed on."""
    throttled_bytes: int = 0
    resets: int = 0
    """Connections torn off by their own allowance of bytes in this direction."""


class Way:
    """One direction of all connections; its conditions may be changed at any time."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """From coming in to going out."""
        self.bytes_per_s = 0
        """Of each connection; 0 is as fast as it goes."""
        self.reset_within_bytes = 0
        """Connections made from now on are torn off after so many bytes at most; 0 is never."""
        self.tally = Tally()
        self._open = asyncio.Event()
        self._open.set()

    @property
    def blocked(self) -> bool:
        """Whether nothing gets through, neither bytes nor the news that a side has closed."""
        return not self._open.is_set()

    def block(self) -> None:
        """Let nothing through from now on; nobody is told."""
        self._open.clear()

    def unblock(self) -> None:
        """Let what was held, and everything after it, through."""
        self._open.set()

    def calm(self) -> None:
        """Break nothing any more; what was counted stays."""
        self.delay_s, self.bytes_per_s, self.reset_within_bytes = 0.0, 0, 0
        self.unblock()

    async def passable(self) -> None:
        """Wait until something gets through."""
        await self._open.wait()


class Proxy:
    """Listens on a port of the system's choice and passes everything on to one address.

    Belongs to one event loop.
    """

    def __init__(self, target: tuple[str, int], chance: random.Random) -> None:
        """Take where to connect to, and the source of chance for the length of a connection."""
        self.up = Way()
        """From who has connected to the target."""
        self.down = Way()
        self.target = target
        self.port = 0
        self.connections = 0
        """Passed on so far."""
        self._chance = chance
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to listen on 127.0.0.1; `port` says where."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def alive(self) -> int:
        """How many connections there are."""
        return len(self._pairs)

    def calm(self) -> None:
        """Break nothing any more. What was forgotten stays so."""
        self.up.calm()
        self.down.calm()

    def cut(self) -> int:
        """Reset every connection on both sides, what was held is lost; gives how many."""
        pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        return len(pairs)

    def forget(self) -> int:
        """Lose everything of the connections there are, for ever and silently; gives how many.

        It is what a router does that has lost its table: both sides believe to be connected. New
        connections are not concerned.
        """
        known = [pair for pair in self._pairs if not pair.forgotten]
        for pair in known:
            pair.forgotten = True
        return len(known)

    async def aclose(self) -> None:
        """Stop listening and reset every connection."""
        if self._server is not None:
            self._server.close()
        while self._pairs:
            tasks = [pair.task for pair in self._pairs]
            self.cut()
            await asyncio.wait(tasks)
        if self._server is not None:
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self, _End(reader, writer))
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)

    def allowance(self, way: Way) -> int:
        """Draw after how many bytes a new connection is torn off; 0 is never."""
        return self._chance.randint(1, way.reset_within_bytes) if way.reset_within_bytes else 0


class _End:
    """One side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def reset(self) -> None:
        """Close so that the other side gets a reset, not an end."""
        sock = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        self.writer.transport.abort()


class _Pair:
    """A connection and its continuation to the target."""

    def __init__(self, proxy: Proxy, near: _End) -> None:
        task = asyncio.current_task()
        assert task is not None  # it is made by the task of the connection
        self.task: asyncio.Task[None] = task
        self.forgotten = False
        self._proxy = proxy
        self._near = near
        self._far: _End | None = None
        self._is_reset = False

    async def run(self) -> None:
        """Pass bytes in both directions until both have ended or it is torn off."""
        try:
            self._far = far = await self._dial()
            proxy = self._proxy
            proxy.connections += 1
            up = _Pump(self, self._near, far, proxy.up, proxy.allowance(proxy.up))
            down = _Pump(self, far, self._near, proxy.down, proxy.allowance(proxy.down))
            await _all(up.take(), up.give(), down.take(), down.give())
        except OSError:
            self._tear()
        except asyncio.CancelledError:
            # `reset` cancels this task; a cancellation from elsewhere has to go on.
            if not self._is_reset:
                raise
        finally:
            self._tear()

    def reset(self) -> None:
        """Tear it off on both sides."""
        self._is_reset = True
        self._tear()
        self.task.cancel()

    def _tear(self) -> None:
        self._near.reset()
        if self._far is not None:
            self._far.reset()

    async def _dial(self) -> _End:
        """Connect to the target: what opens a connection has to get there and back."""
        proxy = self._proxy
        await asyncio.sleep(proxy.up.delay_s + proxy.down.delay_s)
        await proxy.up.passable()
        await proxy.down.passable()
        return _End(*await asyncio.open_connection(*proxy.target))


class _Pump:
    """One direction of one connection. In its queue b"" is the end and None a reset."""

    def __init__(self, pair: _Pair, source: _End, sink: _End, way: Way, allowance: int) -> None:
        self._pair = pair
        self._source = source
        self._sink = sink
        self._way = way
        self._left_bytes = allowance
        self._torn_off = allowance > 0
        self._queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(QUEUED_CHUNKS)

    async def take(self) -> None:
        """Read until the end, or a reset; either travels as the bytes do."""
        now_s = asyncio.get_running_loop().time
        tally = self._way.tally
        data: bytes | None = b"-"
        while data:
            try:
                data = await self._source.reader.read(CHUNK_BYTES)
            except OSError:
                data = None
            if data and self._way.blocked:
                tally.held_bytes += len(data)
            await self._queue.put((now_s() + self._way.delay_s, data))

    async def give(self) -> None:
        """Write what was read, as the conditions have it, and at last the end."""
        going: bytes | None = None
        try:
            while True:
                due_s, going = await self._queue.get()
                await self._travel(due_s, len(going or b""))
                if self._pair.forgotten:
                    self._way.tally.lost_bytes += len(going or b"")
                elif going is None:
                    raise ConnectionResetError
                elif going:
                    await self._write(going)
                elif self._sink.writer.can_write_eof():
                    self._sink.writer.write_eof()
                if not going:
                    return
                going = None
        except asyncio.CancelledError:
            waiting = [self._queue.get_nowait()[1] for _ in range(self._queue.qsize())]
            self._way.tally.lost_bytes += sum(len(data or b"") for data in (going, *waiting))
            raise

    async def _travel(self, due_s: float, size_bytes: int) -> None:
        late_s = due_s - asyncio.get_running_loop().time()
        if late_s > 0:
            self._way.tally.delayed_bytes += size_bytes
            await asyncio.sleep(late_s)
        await self._way.passable()

    async def _write(self, data: bytes) -> None:
        """Write, slowly if it has to be, up to the byte where the connection is torn off."""
        if self._torn_off:
            data = data[: self._left_bytes]
            self._left_bytes -= len(data)
        while data:
            rate = self._way.bytes_per_s  # asked for each time: healing must not wait for a chunk
            part = data[: max(1, rate // SLICES_PER_S)] if rate else data
            data = data[len(part) :]
            if rate:
                self._way.tally.throttled_bytes += len(part)
                await asyncio.sleep(len(part) / rate)
            self._sink.writer.write(part)
            await self._sink.writer.drain()
            self._way.tally.passed_bytes += len(part)
        if self._torn_off and not self._left_bytes:
            self._way.tally.resets += 1
            raise ConnectionResetError


async def _all(*pumps: Coroutine[None, None, None]) -> None:
    """Run all of them to the end; the first failure stops the others and is raised."""
    tasks = [asyncio.ensure_future(pump) for pump in pumps]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
