"""TLS between a plain transport and a protocol: records in, bytes out, and the other way round.

It is `ssl.MemoryBIO` with some lines around it, and stands in the place of the event loop's own TLS
for its cost: a read with its answer takes 5 µs more here than without TLS, and 23 µs more there
(docs/adr/0013). Every call into OpenSSL that can be left out is left out: a read that has given all
that came is not asked again, and what is written at once is encrypted at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

RECORD_BYTES: Final = 16 * 1024
"""A TLS record holds so much at most (RFC 8446, 5.1). OpenSSL's buffers are never given more at
once, for they keep the size that they had to take once: after a page of the mailbox a connection
kept 193 kB more, and 26 kB this way (`python -m benchmarks.memory`)."""

MIN_READ_BYTES: Final = 1024
"""Asked of OpenSSL at least: a record may have come in pieces, the last of them a few bytes."""


async def accept_tls(
    sock: socket.socket,
    context: ssl.SSLContext,
    begin: Callable[[], asyncio.Protocol],
    handshake_s: float,
) -> None:
    """Shake hands on an accepted socket; when it is done, `begin` makes the inner protocol.

    The socket belongs to the connection from the call on, and is closed with it.

    Raises:
        ConnectionAbortedError: the handshake was not done within `handshake_s`.
        OSError: there was none, or something else than TLS came (`ssl.SSLError`).
    """
    loop = asyncio.get_running_loop()
    try:
        channel = TlsChannel(context, begin, loop.create_future())
        await loop.connect_accepted_socket(lambda: channel, sock)
    except BaseException:
        sock.close()
        raise
    try:
        async with asyncio.timeout(handshake_s):
            await channel.shaken
    except TimeoutError:
        channel.abort()
        raise ConnectionAbortedError("the handshake takes too long") from None
    except asyncio.CancelledError:
        channel.abort()
        raise


class TlsChannel(asyncio.Transport, asyncio.Protocol):
    """The protocol of a plain transport, and the transport of an inner protocol.

    The inner protocol is made when the handshake is done. As with every transport, its
    `connection_lost` is called once after that, whatever happens.
    """

    __slots__ = ("_begin", "_closing", "_incoming", "_inner", "_outgoing", "_raw", "_tls", "shaken")

    _raw: asyncio.Transport

    def __init__(
        self,
        context: ssl.SSLContext,
        begin: Callable[[], asyncio.Protocol],
        shaken: asyncio.Future[None],
    ) -> None:
        """Wait for the plain transport; `shaken` is told how the handshake ended."""
        super().__init__()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._begin = begin
        self._inner: asyncio.Protocol | None = None
        self._closing = False
        self.shaken = shaken

    # --- called by the plain transport ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client to begin."""
        self._raw = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Decrypt what came and hand it on; before that, go on with the handshake."""
        if len(data) <= RECORD_BYTES:
            self._receive(data)
            return
        for begin in range(0, len(data), RECORD_BYTES):
            self._receive(data[begin : begin + RECORD_BYTES])
            if self._raw.is_closing():
                break

    def eof_received(self) -> None:
        """Let the plain transport close: nobody who speaks JIM half-closes."""

    def pause_writing(self) -> None:
        """Tell the inner protocol that the client reads too slowly."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Tell the inner protocol that the client has read enough."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever has to know: the inner protocol, or whoever waits for the handshake."""
        self._closing = True
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.connection_lost(exc)
        elif not self.shaken.done():
            self.shaken.set_exception(exc or ConnectionResetError("it has hung up"))

    # --- called by the inner protocol -------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypt and write; does nothing once it is closed."""
        if self._closing:
            return
        try:
            if len(data) <= RECORD_BYTES:
                self._tls.write(data)
                encrypted = self._outgoing.read()
            else:
                encrypted = self._encrypt(memoryview(data))
        except ssl.SSLError as error:
            self._fail(error)
            return
        self._raw.write(encrypted)

    def get_write_buffer_size(self) -> int:
        """Give how many bytes, encrypted, the kernel has not taken yet."""
        return self._raw.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from how many bytes on the inner protocol has to stop writing, and until when."""
        self._raw.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """Leave what comes in the kernel."""
        if not self._closing:
            self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading."""
        if not self._closing:
            self._raw.resume_reading()

    def is_closing(self) -> bool:
        """Tell whether it is closed, or about to be."""
        return self._closing

    def close(self) -> None:
        """Say that nothing more follows, and wait for the client to hang up.

        What it has sent meanwhile is read and dropped: closing a socket with unread bytes resets
        it, and a reset may destroy our last words on their way. Whoever closes has to `abort` in
        the end.
        """
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(ssl.SSLError):  # it wants the client's part: nobody waits for it
            self._tls.unwrap()
        self._send_rest()
        self._raw.resume_reading()

    def abort(self) -> None:
        """Cut the connection off and drop what was not written."""
        self._closing = True
        self._raw.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give what is known of the connection (asyncio, "Transports")."""
        if name == "ssl_object":
            return self._tls
        return self._raw.get_extra_info(name, default)

    # --- TLS --------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        """Decrypt at most as much as a record, or go on with the handshake."""
        self._incoming.write(data)
        try:
            if self._inner is None and not self._shake_hands():
                return
            plain = self._read(len(data))
        except ssl.SSLError as error:
            self._fail(error)
            return
        if plain and not self._closing:
            cast("asyncio.Protocol", self._inner).data_received(plain)

    def _encrypt(self, data: memoryview) -> bytes:
        """Encrypt record by record."""
        records = []
        for begin in range(0, len(data), RECORD_BYTES):
            self._tls.write(data[begin : begin + RECORD_BYTES])
            records.append(self._outgoing.read())
        return b"".join(records)

    def _shake_hands(self) -> bool:
        """Go on as far as what has come reaches; tell whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_rest()
            return False
        self._send_rest()
        # From here on it is the inner protocol's connection, also if it does not come to terms with
        # that: it is told of the end then, and nobody else.
        self._inner = inner = self._begin()
        if not self.shaken.done():
            self.shaken.set_result(None)
        inner.connection_made(self)
        return True

    def _read(self, size_bytes: int) -> bytes:
        """Decrypt everything that is whole; a client that has ended its side is closed."""
        tls, incoming = self._tls, self._incoming
        size_bytes = max(size_bytes, MIN_READ_BYTES)
        parts: list[bytes] = []
        try:
            while True:
                part = tls.read(size_bytes)
                parts.append(part)
                if not part:
                    self._raw.close()
                    break
                if not incoming.pending and not tls.pending():
                    break
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:  # the client has asked for new keys
            self._send_rest()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _send_rest(self) -> None:
        """Write what OpenSSL itself has to say."""
        if data := self._outgoing.read():
            self._raw.write(data)

    def _fail(self, error: ssl.SSLError) -> None:
        """End the connection over what is no TLS; OpenSSL has an alert for the client."""
        self._closing = True
        self._send_rest()
        self._raw.close()
        if not self.shaken.done():
            self.shaken.set_exception(error)
