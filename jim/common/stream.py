"""Send and receive messages on a byte stream: the codec joined to asyncio's streams.

It knows nothing of what the messages mean. One task receives, any may send; back-pressure towards
the peer comes from not calling `receive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from jim.protocol.codec import Decoder, Invalid, Parser, encode

if TYPE_CHECKING:
    from msgspec import Struct

MessageT = TypeVar("MessageT")

READ_BYTES: Final = 65_536
"""Taken at once: what an `asyncio.StreamReader` holds before it pauses the transport; all frames of
one read share one local transaction."""

CLOSE_S: Final = 2.0
"""How long a closing handshake may take before the connection is cut: nobody waits for it."""


def cut_off(transport: asyncio.WriteTransport) -> None:
    """Cut a connection at once, whatever state it is in.

    Before Python 3.11.4, asyncio's TLS transport cannot be aborted any more once it was closed; its
    own shutdown timeout ends the connection then.
    """
    with contextlib.suppress(AttributeError):
        transport.abort()


class MessageStream(Generic[MessageT]):
    """One connection as messages."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        parser: Parser[MessageT],
        max_frame_bytes: int,
    ) -> None:
        """Take a connection, the parser of what the peer sends, and the longest frame accepted."""
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(parser, max_frame_bytes)

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS layer of the connection, None if there is none."""
        found = self._writer.get_extra_info("ssl_object")
        return found if isinstance(found, ssl.SSLObject) else None

    @property
    def unsent_bytes(self) -> int:
        """How much was sent that the peer has not taken yet, beyond what the system holds."""
        return self._writer.transport.get_write_buffer_size()

    def send(self, *messages: Struct) -> None:
        """Queue messages for the peer; errors of the connection show up in `receive`."""
        self.send_frames(b"".join(map(encode, messages)))

    def send_frames(self, frames: bytes) -> None:
        """Queue messages that are encoded already, as `send`."""
        if not self._writer.is_closing():
            self._writer.write(frames)

    async def drain(self) -> None:
        """Wait until the peer takes what was sent.

        Raises:
            OSError: the connection is gone.
        """
        await self._writer.drain()

    async def receive(self) -> list[MessageT | Invalid]:
        """Give the messages of the next read, at least one; an empty list is the end of the stream.

        Raises:
            OSError: the connection broke.
        """
        while data := await self._reader.read(READ_BYTES):
            if messages := self._decoder.feed(data):
                return messages
        return []

    async def aclose(self) -> None:
        """Close the connection; never raises for what the network does meanwhile."""
        self._writer.close()
        closed = asyncio.ensure_future(self._wait_closed())
        try:
            # Not a time-out around the wait: that would cancel a future which the streams share.
            await asyncio.wait([closed], timeout=CLOSE_S)
        finally:
            if not closed.done():
                cut_off(self._writer.transport)

    async def _wait_closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Cut the connection at once, dropping what was not sent."""
        cut_off(self._writer.transport)
