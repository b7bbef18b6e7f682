"""Say one thing to a connection that will not be served, and close it so that it is read.

Closing a socket with unread bytes sends a reset, which may destroy an answer on its way. So: read
what is there, answer, half-close, read on until the other side closes, then close. All of it is
bounded.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from jim.errors import PlaintextRefused, WireError
from jim.protocol.codec import encode
from jim.protocol.replies import error_reply

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

DRAIN_S: Final = 1.0
"""Total for reading on: a round trip of a bad link."""

DRAIN_BYTES: Final = 64 * 1024
"""Read on at most: nobody honest sends more before reading the answer."""

_CHUNK_BYTES: Final = 4096

TLS_ALERT_ACCESS_DENIED: Final = bytes([0x15, 3, 3, 0, 2, 2, 49])
"""A record of the type alert: fatal, access_denied (RFC 8446, 5.1 and 6.2). It costs no handshake,
and every TLS library reports it by its name."""

HELP_LINE: Final = (
    "This is a JIM server. It speaks JIM over TLS and nothing else: use a JIM client."
)

_HTTP_METHODS: Final = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"PRI ")


def to_plain_jim(now_ms: int, error: WireError | None = None) -> bytes:
    """Word the refusal of JIM without TLS: one JSON line that the old client can show."""
    reply = error_reply(error or PlaintextRefused(), now_ms)
    reply.fatal = True
    return encode(reply)


def to_stranger(opening: bytes, text: str = HELP_LINE) -> bytes:
    """Word the answer to a speaker of another protocol: one line, as HTTP to HTTP speakers."""
    line = text.encode() + b"\r\n"
    if not opening.startswith(_HTTP_METHODS):
        return line
    head = (
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(line)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + line


class Farewell:
    """The end of one socket that nobody else uses any more."""

    __slots__ = ("_ended", "_left_bytes", "_loop", "_sock", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        answer: bytes,
        ended: Callable[[], None],
    ) -> None:
        """Answer at once (it fits any socket's buffer), then drain; closes the socket by itself.

        `ended` is called once it is closed, perhaps before this returns or raises.
        """
        self._ended = ended
        self._loop = loop
        self._sock = sock
        self._left_bytes = DRAIN_BYTES
        self._timer: asyncio.TimerHandle | None = None
        try:
            with contextlib.suppress(BlockingIOError):
                sock.send(answer)
            sock.shutdown(socket.SHUT_WR)
            self._timer = loop.call_later(DRAIN_S, self.close)
            loop.add_reader(sock.fileno(), self._drain)
        except OSError:
            self.close()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket, whatever state it is in."""
        if self._timer is not None:
            self._timer.cancel()
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._ended()

    def _drain(self) -> None:
        try:
            chunk = self._sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._left_bytes -= len(chunk)
        if not chunk or self._left_bytes <= 0:
            self.close()


def read_pending(sock: socket.socket) -> bytes:
    """Read what has arrived, so that answering and closing sends no reset; never waits."""
    with contextlib.suppress(OSError):
        return sock.recv(DRAIN_BYTES)
    return b""
