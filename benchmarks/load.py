"""The workloads: pairs with a full window, pairs with a schedule, connections that idle."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections import deque
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.peer import Account, Address, Peer, connect
from jim.core.limits import WINDOW
from jim.protocol import messages as m
from jim.protocol.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BODY_BYTES = 100
BODY = b"x" * BODY_BYTES
FRAME = b'{"action":"msg","id":%d,"n":%d,"to":"%b","message":"%b"}\n'
LOGINS_AT_ONCE = 32
"""Handshakes under way together while connecting: enough to keep the server busy, and below the
limit of its listening queue."""

_DUE = re.compile(rb'"message":"(\d+)')


class Introduction(Struct):
    """What the reference relay wants to know of a connection."""

    name: str


class Receiver(Peer):
    """Counts what arrives, confirms it, and notes how late it is where the body says when due."""

    def __init__(self) -> None:
        super().__init__()
        self.received = 0
        self.late_ns: array[int] | None = None

    def frames(self, data: bytes) -> None:
        """Count, note the lateness, and confirm the last position."""
        if self.late_ns is not None:
            now = time.monotonic_ns()
            self.late_ns.extend(now - int(due) for due in _DUE.findall(data))
        self.received += data.count(b'"action":"msg"')
        at = data.rfind(b'"position":') + 11
        if at > 10:
            self.transport.write(b'{"action":"ack","position":%d}\n' % _integer(data, at))


def _integer(data: bytes, at: int) -> int:
    return int(data[at : data.index(b",", at)])


class Sender(Peer):
    """Sends to one receiver, either as fast as its window allows or when something is due."""

    def __init__(self) -> None:
        super().__init__()
        self.stored = 0
        self.errors = 0
        self.n = 0
        self.to = b""
        self.running = False
        self.due_ns: deque[int] = deque()
        """What is due already and has not been sent, because the window was full."""

    def frames(self, data: bytes) -> None:
        """Count the answers; go on with what the window has held back, or keep it full."""
        done = data.count(b'"action":"stored"')
        self.errors += data.count(b'"action":"error"')
        self.stored += done
        if self.due_ns:
            self._send_due()
        elif self.running and done:
            self.burst(done)

    def burst(self, count: int, body: bytes = BODY) -> None:
        """Write `count` further messages."""
        self._write(repeat(body, count))

    def schedule(self, due_ns: Iterable[int]) -> None:
        """Send a message for each of these due times, now or as soon as the window allows it."""
        self.due_ns.extend(due_ns)
        self._send_due()

    def _send_due(self) -> None:
        count = min(len(self.due_ns), WINDOW - self.n + self.stored)
        if count > 0:
            self._write((b"%d" % self.due_ns.popleft()).ljust(BODY_BYTES) for _ in range(count))

    def _write(self, bodies: Iterable[bytes]) -> None:
        frames = [FRAME % (n, n, self.to, body) for n, body in enumerate(bodies, self.n + 1)]
        self.n += len(frames)
        self.transport.write(b"".join(frames))


class Pairs:
    """Senders and receivers, one to one."""

    def __init__(self, senders: list[Sender], receivers: list[Receiver]) -> None:
        self.senders = senders
        self.receivers = receivers

    @property
    def stored(self) -> int:
        """How many messages have been acknowledged."""
        return sum(sender.stored for sender in self.senders)

    @property
    def received(self) -> int:
        """How many messages have arrived."""
        return sum(receiver.received for receiver in self.receivers)

    @property
    def errors(self) -> int:
        """How many refusals and lost connections there were."""
        peers: Sequence[Peer] = [*self.senders, *self.receivers]
        return sum(sender.errors for sender in self.senders) + sum(peer.lost for peer in peers)

    async def settle(self) -> None:
        """Wait until everything stored has arrived; give up after 10 s without progress."""
        seen, since = -1, time.monotonic()
        while any(s.due_ns or s.stored < s.n for s in self.senders) or self.received < self.stored:
            if self.stored + self.received != seen:
                seen, since = self.stored + self.received, time.monotonic()
            if time.monotonic() - since > 10:
                raise TimeoutError(f"stored {self.stored}, received {self.received}")
            await asyncio.sleep(0.01)

    async def aclose(self) -> None:
        """Close all connections."""
        await hang_up([*self.senders, *self.receivers])


async def hang_up(peers: Sequence[Peer]) -> None:
    """Cut all connections off, and wait until the loop has nothing to do with them any more."""
    for peer in peers:
        peer.transport.abort()
    for peer in peers:
        await peer.gone.wait()


async def open_pairs(address: Address, count: int, prefix: str, *, plain_relay: bool) -> Pairs:
    """Connect `count` pairs; at the relay a name is enough, at our server it is registered."""
    gate = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def enter(kind: type[Sender | Receiver], name: str) -> Sender | Receiver:
        async with gate:
            peer = await connect(kind, address)
            if plain_relay:
                await peer.ask(Introduction(name))
            else:
                await peer.login(Account(name))
                if isinstance(peer, Receiver):
                    await peer.ask(m.Sync(id=3, after=0))
            peer.go_raw()
            return peer

    names = [f"{prefix}{letter}{i}" for letter in "sr" for i in range(count)]
    kinds = [Sender] * count + [Receiver] * count
    peers = await asyncio.gather(*map(enter, kinds, names))
    senders = [peer for peer in peers if isinstance(peer, Sender)]
    receivers = [peer for peer in peers if isinstance(peer, Receiver)]
    for index, sender in enumerate(senders):
        sender.to = names[count + index].encode()
    return Pairs(senders, receivers)


async def throughput(pairs: Pairs, window: int, warm_s: float, measure_s: float) -> float:
    """Keep every window full; give messages stored a second, all of them also received."""
    for sender in pairs.senders:
        sender.running = True
        sender.burst(window)
    await asyncio.sleep(warm_s)
    stored, started = pairs.stored, time.perf_counter()
    await asyncio.sleep(measure_s)
    rate = (pairs.stored - stored) / (time.perf_counter() - started)
    for sender in pairs.senders:
        sender.running = False
    await pairs.settle()
    return rate


@dataclass(frozen=True)
class Lateness:
    """Of every message of a schedule, in ns against its due time."""

    arrived: array[int]
    sent: array[int]
    """When the generator got round to it: what is large here is not the server's."""


async def latency(pairs: Pairs, per_s: int, measure_s: float) -> Lateness:
    """Send on a schedule whatever happens; give how late everything was.

    A sender keeps to the window of the protocol, as every client has to. What is due meanwhile
    waits in it, and that wait counts as any other.
    """
    late = Lateness(array("q"), array("q"))
    for receiver in pairs.receivers:
        receiver.late_ns = late.arrived
    senders = pairs.senders
    step_ns = 1_000_000_000 // per_s
    start_ns = time.monotonic_ns() + step_ns
    count, done = int(measure_s * per_s), 0
    while done < count:
        now_ns = time.monotonic_ns()
        until = min(count, max(done, (now_ns - start_ns) // step_ns + 1))
        for index in range(done, min(done + len(senders), until)):
            due_ns = [start_ns + i * step_ns for i in range(index, until, len(senders))]
            senders[index % len(senders)].schedule(due_ns)
        late.sent.extend(now_ns - start_ns - i * step_ns for i in range(done, until))
        done = until
        await asyncio.sleep(0)  # uvloop's timers go by whole milliseconds: too coarse to sleep
    await pairs.settle()
    for receiver in pairs.receivers:
        receiver.late_ns = None
    return late


async def idle(address: Address, accounts: list[Account]) -> list[Peer]:
    """Log accounts in and leave them connected, receiving."""
    gate = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def enter(account: Account) -> Peer:
        async with gate:
            peer = await connect(Peer, address)
            await peer.login(account)
            peer.transport.write(encode(m.Sync(id=3, after=0)))
            peer.go_raw()
            return peer

    return list(await asyncio.gather(*map(enter, accounts)))
