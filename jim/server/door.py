"""Tell by the first byte what a new connection speaks, and show it in or out. One port for all.

The byte is looked at without being read, so TLS starts on an untouched stream. There is no upgrade
inside a connection, hence nothing to inject before one. Every wait here has a total limit.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

from jim.common.constants import TLS_FIRST_BYTE
from jim.errors import WireError
from jim.server import farewell
from jim.server.connection import Connection, Visitor
from jim.server.login import Login
from jim.server.node import Node, now_ms
from jim.server.tls_channel import accept_tls

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.admission import Ticket
    from jim.crypto.tls import ServerTls

log = logging.getLogger(__name__)

JSON_FIRST_BYTE: Final = ord("{")

MAX_REFUSALS: Final = 64
"""Connections that are told why they are not served at the same time, until they have hung up or
their time is over; in a flood the others are just closed."""

REFUSAL_WAIT_S: Final = 1.0
"""How long a refused connection is waited for to say what it speaks, so that it is told in kind."""


class Door:
    """Receives the sockets that the listener has accepted."""

    def __init__(self, node: Node, tls: ServerTls) -> None:
        """`tls` may be replaced at any time; a connection keeps what it began with."""
        self.tls = tls
        self._node = node
        self._accept_tls = accept_tls
        """A simulation, which has no TLS, puts something else in its place."""
        self._knocking: set[Knock] = set()
        self._refusals = 0
        self.parting = 0
        """Connections that have their answer and have not hung up yet."""
        self.handshakes = 0
        """TLS handshakes begun since the start."""

    def accept(self, sock: socket.socket, address: str) -> None:
        """Take a new connection; refusals are told before TLS, where they cost no handshake."""
        try:
            ticket = self._node.admission.admit(address, self._node.loop.time())
        except WireError as error:
            self._turn_away(sock, address, error)
            return
        wait_s = self._node.limits.first_byte_s
        try:
            self._knock(sock, wait_s, lambda first: self._answer(sock, address, ticket, first))
        except BaseException:
            self._node.admission.leave(ticket)
            raise

    def aclose(self) -> None:
        """Close whoever has not said a first byte yet."""
        for knock in list(self._knocking):
            knock.close()

    def _knock(
        self, sock: socket.socket, wait_s: float, then: Callable[[int | None], None]
    ) -> None:
        knock = Knock(self._node.loop, sock, wait_s, then, self._knocking)
        self._knocking.add(knock)

    # --- let in -----------------------------------------------------------------------------------

    def _answer(self, sock: socket.socket, address: str, ticket: Ticket, first: int | None) -> None:
        if first == TLS_FIRST_BYTE:
            try:
                visitor = Visitor(address, ticket, self.tls.spki, self._node.loop.time())
                self._node.spawn(self._start_tls(sock, visitor, self.tls))
            except BaseException:
                self._node.admission.leave(ticket)
                sock.close()
                raise
            return
        self._node.admission.leave(ticket)
        self._say_no(sock, address, first, None)

    async def _start_tls(self, sock: socket.socket, visitor: Visitor, tls: ServerTls) -> None:
        node = self._node
        self.handshakes += 1
        try:
            await self._accept_tls(
                sock, tls.context, lambda: Connection(node, visitor, Login), node.limits.tls_s
            )
        except BaseException as error:
            node.admission.leave(visitor.ticket)
            if not isinstance(error, OSError | asyncio.CancelledError):
                raise
            log.info("no TLS with %s: %s", visitor.address, _reason(error))
            # The traceback and the loop's future hold each other, and with them the TLS buffers,
            # until the collector comes by: in a flood of broken handshakes that was 200 MB.
            error.__traceback__ = None

    # --- show out ---------------------------------------------------------------------------------

    def _turn_away(self, sock: socket.socket, address: str, error: WireError) -> None:
        log.info("refused %s: %s", address, error.code)
        if self._refusals + self.parting >= MAX_REFUSALS:
            sock.close()
            return

        def tell(first: int | None) -> None:
            self._refusals -= 1
            self._say_no(sock, address, first, error)

        self._knock(sock, REFUSAL_WAIT_S, tell)
        self._refusals += 1

    def _say_no(
        self, sock: socket.socket, address: str, first: int | None, error: WireError | None
    ) -> None:
        """Answer in the language that the first byte shows; None is somebody who said nothing."""
        if self.parting >= MAX_REFUSALS:
            sock.close()
            return
        opening = farewell.read_pending(sock)
        if first == TLS_FIRST_BYTE:
            answer = farewell.TLS_ALERT_ACCESS_DENIED
        elif first == JSON_FIRST_BYTE:
            answer = farewell.to_plain_jim(now_ms(), error)
        else:
            answer = farewell.to_stranger(opening, *([str(error)] if error else []))
        if error is None:
            log.info("no TLS from %s: told and closed", address)
        self.parting += 1
        farewell.Farewell(self._node.loop, sock, answer, self._parted)  # calls back in any case

    def _parted(self) -> None:
        self.parting -= 1


class Knock:
    """Waits for the first byte of one socket, for a limited time; then calls back, once."""

    __slots__ = ("_among", "_loop", "_sock", "_then", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        wait_s: float,
        then: Callable[[int | None], None],
        among: set[Knock],
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._then = then
        self._among = among
        self._timer = loop.call_later(wait_s, self._finish, None)
        loop.add_reader(sock.fileno(), self._look)

    def close(self) -> None:
        """Stop waiting and close the socket."""
        self._stop()
        self._sock.close()

    def _look(self) -> None:
        try:
            first = self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            first = b""
        self._finish(first[0] if first else None)

    def _finish(self, first: int | None) -> None:
        self._stop()
        self._then(first)

    def _stop(self) -> None:
        self._among.discard(self)
        self._timer.cancel()
        self._loop.remove_reader(self._sock.fileno())


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__} {getattr(error, 'reason', '') or ''}".strip()
