"""A client of the load: outbox with numbers, cursor, reconnect with back-off; and its journal.

It keeps the rules of docs/protocol.md that the promise rests on (resend under the old number, drop
what is at or before the cursor, ask again over a gap) and nothing else, so that thousands of them
fit into one process. What it saw goes into a history (`reliability.history`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from benchmarks.peer import Address, Peer
from jim.client.link import failure_reason
from jim.client.policy import CONNECT_S, LOGIN_S, Backoff
from jim.core.limits import WINDOW
from jim.errors import ConnectFailed
from jim.protocol import messages as m
from jim.protocol.codec import encode
from reliability import history as h

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.stocking import Member
    from reliability.load.journal import Journal, Tally

IP_BIND_ADDRESS_NO_PORT = 24
"""Linux, <linux/in.h>: choose the port at the connect, so that it may be shared by addresses."""

_FAILURES = (OSError, TimeoutError, msgspec.ValidationError, asyncio.CancelledError)
"""What ends an attempt to log in; a validation error is a `goodbye` in the place of a challenge."""


class Frame(Struct, gc=False):
    """What is looked at of a frame from the server."""

    action: str
    position: int = 0
    seq: int = 0
    n: int = 0
    sender: str = field(name="from", default="")
    message: str = ""
    code: str = ""


_frames = msgspec.json.Decoder(Frame)


class Wire(Peer):
    """One connection of a client."""

    def __init__(self, client: Client) -> None:
        """Belong to a client."""
        super().__init__()
        self._client = client
        self.ended = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        super().connection_lost(exc)
        if not self.ended.done():
            self.ended.set_result(None)

    def frames(self, data: bytes) -> None:
        """Hand frames to the client."""
        for frame in _frames.decode_lines(data):
            self._client.take(self, frame)


class Client:
    """One device, online whenever it can be."""

    def __init__(
        self,
        member: Member,
        address: Address,
        source: str,
        journal: Journal,
        tally: Tally,
        *,
        receive_bytes: int = 0,
        retry_s: float = 0.0,
        asks: bool = True,
    ) -> None:
        """Start with an empty outbox and a cursor at 0.

        Args:
            member: who it is.
            address: of the server.
            source: the address that it connects from.
            journal: where its events go.
            tally: what it adds to.
            receive_bytes: SO_RCVBUF; 0 leaves the system's.
            retry_s: wait exactly so long between attempts; 0 backs off as the real client does.
            asks: whether it asks for its mailbox; until then everything waits.
        """
        self.member = member
        self.name = member.name
        self.cursor = 0
        self.last_n = 0
        self.outbox: dict[int, tuple[str, str]] = {}
        self.wire: Wire | None = None
        self.online = asyncio.Event()
        """Set at the first login."""
        self._account = member.account()
        self._address = address
        self._source = source
        self._journal = journal
        self._tally = tally
        self._receive_bytes = receive_bytes
        self._retry_s = retry_s
        self._asks = asks
        self._goal: int | None = None
        self._next_n = 1
        self._flying = 0

    # --- the link -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Stay online until cancelled."""
        backoff = Backoff()
        while True:
            wire: Wire | None = None
            failure: ConnectFailed | None = None
            try:
                async with asyncio.timeout(CONNECT_S + LOGIN_S):
                    wire = await self._connect()
                    await wire.login(self._account)
            except _FAILURES as error:
                if wire is not None:
                    wire.transport.abort()
                if isinstance(error, asyncio.CancelledError):
                    raise
                self._tally.refused += 1
                failure = ConnectFailed(reason=failure_reason(error))
            else:
                backoff.succeeded()
                await self._stay(wire)
            await asyncio.sleep(self._retry_s or backoff.next_s(failure))

    def ask(self) -> None:
        """Ask for the mailbox from now on."""
        self._asks = True
        if self.wire is not None:
            self._sync(self.wire)

    def drop(self) -> None:
        """Cut the connection off; `run` makes another one."""
        if self.wire is not None:
            self.wire.transport.abort()

    async def _connect(self) -> Wire:
        loop = asyncio.get_running_loop()
        sock = open_socket(self._source, self._receive_bytes)
        try:
            await loop.sock_connect(sock, self._address)
            make: Callable[[], Wire] = lambda: Wire(self)  # noqa: E731
            _, wire = await loop.create_connection(
                make, sock=sock, ssl=Peer.context, server_hostname=""
            )
        except BaseException:
            sock.close()
            raise
        return wire

    async def _stay(self, wire: Wire) -> None:
        self._tally.logins += 1
        wire.go_raw()
        self.wire = wire
        self.online.set()
        try:
            if self._asks:
                self._sync(wire)
            self._next_n = min(self.outbox, default=self.last_n + 1)
            self._flying = 0
            self._pump()
            await wire.ended
            self._tally.losses += 1
        finally:
            self.wire = None
            wire.transport.abort()

    def _sync(self, wire: Wire) -> None:
        self._goal = None
        wire.transport.write(encode(m.Sync(id=3, after=self.cursor)))

    # --- sending ------------------------------------------------------------------------------

    def send(self, to: str, due_ns: int, size_bytes: int) -> None:
        """Write a message into the outbox; it goes out as soon as the window allows."""
        self.last_n += 1
        n = self.last_n
        uid = f"{self.name}:{n}"
        text = f"{uid} {due_ns} ".ljust(size_bytes, "x")
        self.outbox[n] = (to, text)
        self._tally.written += 1
        device, now_s = self.member.identity.device, time.monotonic()
        self._journal.add(h.Written(now_s, uid, self.name, device, to, h.digest(text)))
        self._pump()

    def _pump(self) -> None:
        wire = self.wire
        if wire is None:
            return
        lines = []
        while self._flying < WINDOW and self._next_n <= self.last_n:
            n, self._next_n = self._next_n, self._next_n + 1
            if n in self.outbox:
                to, text = self.outbox[n]
                lines.append(encode(m.Msg(id=n, n=n, to=to, message=text)))
                self._flying += 1
        if lines:
            wire.transport.write(b"".join(lines))

    # --- what comes ---------------------------------------------------------------------------

    def take(self, wire: Wire, frame: Frame) -> None:
        """Take one frame that came over `wire`."""
        if wire is not self.wire:
            return
        if frame.action == "msg":
            self._show(wire, frame)
        elif frame.action == "stored":
            self._stored(frame)
        elif frame.action == "ok":
            self._goal = frame.position
            self._reach()
        elif frame.action == "probe":
            wire.transport.write(encode(m.Pong(id=0)))
        else:
            self._note(frame)

    def _note(self, frame: Frame) -> None:
        if frame.action == "error":
            self._tally.errors += 1
            self._journal.add(h.Failed(time.monotonic(), f"{self.name}:{frame.n}", frame.code))
        elif frame.action == "notice":
            self._tally.notices += 1
        elif frame.action == "goodbye":
            self._tally.goodbyes.append(frame.code)

    def _stored(self, frame: Frame) -> None:
        if self.outbox.pop(frame.n, None) is None:
            return
        now_s, tally = time.monotonic(), self._tally
        self._flying -= 1
        tally.acked += 1
        tally.first_ack_s = tally.first_ack_s or now_s
        self._journal.add(h.Acked(now_s, f"{self.name}:{frame.n}", frame.seq, frame.n))
        self._pump()

    def _show(self, wire: Wire, frame: Frame) -> None:
        if frame.position <= self.cursor:
            return
        if frame.position > self.cursor + 1:
            self._tally.gaps += 1
            self._sync(wire)
            return
        now_ns, tally = time.monotonic_ns(), self._tally
        uid, due, _ = frame.message.split(" ", 2)
        tally.shown += 1
        tally.first_shown_s = tally.first_shown_s or now_ns / 1e9
        tally.late_ns.append((int(due), now_ns - int(due)))
        device, position = self.member.identity.device, frame.position
        shown = h.Displayed(
            now_ns / 1e9,
            self.name,
            device,
            uid,
            frame.sender,
            frame.seq,
            position,
            h.digest(frame.message),
        )
        self._journal.add(shown)
        self.cursor = position
        self._journal.add(h.Cursor(now_ns / 1e9, device, position))
        wire.transport.write(b'{"action":"ack","position":%d}\n' % position)
        self._reach()

    def _reach(self) -> None:
        """Note when everything that waited at the login is here."""
        if self._goal is not None and self.cursor >= self._goal:
            self._goal = None
            self._tally.resumed_s.append(time.monotonic())


def open_socket(source: str, receive_bytes: int = 0) -> socket.socket:
    """Make a socket that connects from an address of its own, with a small buffer if asked."""
    sock = socket.socket()
    try:
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setblocking(False)
        sock.bind((source, 0))
    except BaseException:
        sock.close()
        raise
    return sock
