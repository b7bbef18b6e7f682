"""The worker processes of `slowloris`: honest users, and connections that never log in."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import time
from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.peer import Peer
from benchmarks.stocking import Member
from jim.core.limits import Limits
from reliability.load.client import open_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from reliability.load.crew import Boss

ATTACK_SUBNET, HONEST_SUBNET = 40, 60
"""Third number of the address; attackers have a few subnets from the first on."""
PER_ADDRESS = 40
"""Attacking connections of one address: below its 64 in ten minutes, so that the limit for all
together is what has to hold, not only the one for each."""
BYTE_S = 0.5
"""Between two bytes of a slow handshake: it would take minutes, the server allows 5 s."""
RETRY_S = (0.05, 0.5)
"""An honest user waits so long, at random, after being turned away: the first delay of the real
client's back-off, without its growth, so that the figure says what the server does."""
OPEN_S = 20.0
"""For the last connections to be opened: a SYN that was dropped is repeated after 1, 3 and 7 s."""


class Orders(Struct, frozen=True, kw_only=True):
    """What a worker process gets; `connections` and `per_s` are those of the attack."""

    address: tuple[str, int]
    members: list[Member]
    connections: int
    per_s: float


# --- the honest -----------------------------------------------------------------------------------


async def be_honest(boss: Boss, orders: Orders) -> None:
    """Be the worker of the honest: log them in one after the other, and keep them online."""
    peers: list[Peer] = []
    while True:
        word, value = await boss.hear()
        if word == "login":
            first, last, every_s = value
            tasks = []
            for index in range(first, last):
                tasks.append(asyncio.create_task(_enter(orders, index, peers)))
                await asyncio.sleep(every_s)
            boss.tell("logins", list(await asyncio.gather(*tasks)))
        elif word == "leave":
            for peer in peers:
                peer.transport.abort()
            await asyncio.sleep(0.1)
            boss.tell("left")
        else:
            return


async def _enter(orders: Orders, index: int, peers: list[Peer]) -> tuple[float, float, int]:
    account, failures = orders.members[index].account(), 0
    started_s = time.monotonic()
    while True:
        attempt_s = time.monotonic()
        try:
            async with asyncio.timeout(Limits().login_s):
                peer = await _connect(orders.address, f"127.0.{HONEST_SUBNET}.{index + 1}")
                await peer.login(account)
        except OSError:
            failures += 1
            await asyncio.sleep(random.uniform(*RETRY_S))
            continue
        peers.append(peer)
        now_s = time.monotonic()
        return now_s - started_s, now_s - attempt_s, failures


async def _connect(address: tuple[str, int], source: str) -> Peer:
    loop = asyncio.get_running_loop()
    sock = open_socket(source)
    try:
        await loop.sock_connect(sock, address)
        _, peer = await loop.create_connection(
            Peer, sock=sock, ssl=Peer.context, server_hostname=""
        )
    except BaseException:
        sock.close()
        raise
    return peer


# --- the attackers --------------------------------------------------------------------------------


class _Mute(Peer):
    """A connection that never says anything, and knows when it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)


async def attack(boss: Boss, orders: Orders) -> None:
    """Be the worker of the attackers."""
    await boss.hear()
    counts: Counter[str] = Counter()
    tasks: list[asyncio.Task[None]] = []
    opened = asyncio.Semaphore(0)
    started_s = time.monotonic()
    for index in range(orders.connections):
        tasks.append(asyncio.create_task(_assail(index, orders.address, counts, opened)))
        due_s = started_s + (index + 1) / orders.per_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(OPEN_S):
            for _ in tasks:
                await opened.acquire()
    boss.tell("opened")
    await boss.hear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    boss.tell("attacked", dict(counts))
    await boss.hear()


async def _assail(
    index: int, address: tuple[str, int], counts: Counter[str], opened: asyncio.Semaphore
) -> None:
    """Open one connection and hold it for as long as the server lets us."""
    kind = KINDS[index % len(KINDS)]
    place = index // PER_ADDRESS
    source = f"127.0.{ATTACK_SUBNET + place // 200}.{place % 200 + 1}"
    loop = asyncio.get_running_loop()
    with open_socket(source) as sock:
        with contextlib.suppress(OSError):
            await loop.sock_connect(sock, address)
            counts["opened"] += 1
            opened.release()
            counts[f"opened_{kind.__name__.strip('_')}"] += 1
            opened_s = time.monotonic()
            await kind(loop, sock)
            # The server has hung up. At once, or after it had let us in?
            word = "refused" if time.monotonic() - opened_s < Limits().first_byte_s / 2 else "held"
            counts[word] += 1
        # Our end stays open: a closed socket would be a mercy to whoever counts descriptors.
        await asyncio.sleep(3600)


async def _silent(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Say nothing at all."""
    await _until_closed(loop, sock)


async def _trickling(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Send the opening of TLS byte by byte."""
    reading = asyncio.create_task(_until_closed(loop, sock))
    try:
        for byte in _client_hello():
            if reading.done():
                break
            await loop.sock_sendall(sock, bytes([byte]))
            await asyncio.wait([reading], timeout=BYTE_S)
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await reading


async def _half_open(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Begin TLS and never answer the server's part."""
    await loop.sock_sendall(sock, _client_hello())
    await _until_closed(loop, sock)


async def _speechless(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    """Complete TLS and never say hello; a plain duplicate keeps the connection open for us."""
    with sock.dup() as own:
        _, peer = await loop.create_connection(
            _Mute, sock=own, ssl=Peer.context, server_hostname=""
        )
        await peer.ended


KINDS: tuple[Callable[[asyncio.AbstractEventLoop, socket.socket], Awaitable[None]], ...] = (
    _silent,
    _trickling,
    _half_open,
    _speechless,
)


async def _until_closed(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    while await loop.sock_recv(sock, 4096):
        pass


def _client_hello() -> bytes:
    """Make the first flight of a TLS handshake."""
    outgoing = ssl.MemoryBIO()
    tls = Peer.context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
