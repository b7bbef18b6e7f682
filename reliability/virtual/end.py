"""One end of a virtual connection, as asyncio's TLS transport behaves towards its protocol.

Writing is buffered here up to the water marks and beyond; the kernel's buffers are in the wire.
Closing writes what is left, says so to the other end, and waits for its answer for a limited time.
A reset is noticed by whoever reads, or at the next write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from reliability.virtual.trace import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.virtual.loop import VirtualLoop
    from reliability.virtual.network import Network
    from reliability.virtual.sockets import VirtualSocket
    from reliability.virtual.wire import Wire

HIGH_WATER_BYTES: Final = 64 * 1024
"""asyncio's own default (asyncio.transports, `_set_write_buffer_limits`)."""

CLOSE_S: Final = 30.0
"""asyncio's own limit for the end of TLS (asyncio.constants, SSL_SHUTDOWN_TIMEOUT)."""

HELLO: Final = b"\x16"
"""All that is left of the TLS handshake: its first byte, once in each direction."""


class End(asyncio.Transport):
    """A transport; made by the network on both sides of a connection."""

    def __init__(self, network: Network, loop: VirtualLoop, sends: Wire, reads: Wire) -> None:
        super().__init__()
        self.loop = loop
        self.socket: VirtualSocket | None = None
        """The accepted socket, as long as nobody has shaken hands on it."""
        self.greeted: Callable[[Exception | None], None] | None = None
        """Called when the other side's part of the handshake has come, or with why it will not."""
        self.is_gone = False
        """Nothing can be done with it any more."""
        self._network = network
        self._sends = sends
        self._reads = reads
        self._protocol: asyncio.Protocol | None = None
        self._inbox: deque[bytes] = deque()
        self._stream_ended = False
        self._was_reset = False
        self._reads_now = False
        self._is_read_posted = False
        self._closing = False
        self._is_full = False
        self._high_bytes = HIGH_WATER_BYTES
        self._low_bytes = HIGH_WATER_BYTES // 4
        self._close_timer: asyncio.TimerHandle | None = None

    # --- the transport's interface ----------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Give what the network says of the connection."""
        return self._network.facts.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Exchange the protocol."""
        self._protocol = protocol  # type: ignore[assignment]

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Give the protocol."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """Tell whether it is closed, or about to be."""
        return self._closing

    def is_reading(self) -> bool:
        """Tell whether data is handed on."""
        return self._reads_now

    def pause_reading(self) -> None:
        """Leave what comes in the kernel."""
        self._reads_now = False

    def resume_reading(self) -> None:
        """Go on reading."""
        self._reads_now = True
        self._post_read()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set from where on and until when the protocol is asked to stop writing."""
        self._high_bytes = HIGH_WATER_BYTES if high is None else high
        self._low_bytes = self._high_bytes // 4 if low is None else low

    def get_write_buffer_size(self) -> int:
        """Give what the kernel has not taken yet."""
        return len(self._sends.out)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Queue bytes; after the end they are dropped."""
        if self._closing or not data:
            return
        if self._was_reset:
            self.loop.post(self._lose, ConnectionResetError(104, "Connection reset by peer"))
            return
        self._sends.out += data
        self._sends.pump()
        if len(self._sends.out) > self._high_bytes and not self._is_full:
            self._is_full = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        """Tell that TLS cannot be closed in one direction."""
        return False

    def close(self) -> None:
        """Write what is left, then end the stream and wait a while for the other side's end."""
        if self._closing:
            return
        self._closing = True
        self._sends.closes = True
        self._sends.pump()
        self._close_timer = self.loop.call_later(CLOSE_S, self.abort)
        self._post_read()
        self._end_if_closed()

    def abort(self) -> None:
        """End at once and drop everything."""
        if self.is_gone:
            return
        self._drop()
        self._sends.reset()
        self.loop.post(self._tell_lost, None)

    # --- the other side and the kernel ------------------------------------------------------------

    def begin(self, protocol: asyncio.Protocol) -> None:
        """Hand the connection to its protocol: the handshake is over."""
        self.greeted = None
        self.socket = None
        self._protocol = protocol
        self._reads_now = True
        protocol.connection_made(self)
        self._post_read()

    def read_greeting(self) -> None:
        """Take the other side's part of the handshake as soon as it is there."""
        self._reads_now = True
        self._post_read()

    def arrived(self, piece: bytes) -> None:
        """Take a piece of the stream, or with nothing in it the end."""
        if piece:
            self._inbox.append(piece)
        else:
            self._stream_ended = True
        self._notice()

    def was_reset(self) -> None:
        """Take a reset; what was not read yet may be gone with it."""
        if self.is_gone or self._was_reset:
            return
        self._was_reset = True
        if self._network.chance.random() < 0.5:  # by its kind, a kernel keeps or drops it
            self._inbox.clear()
        self._notice()

    def answer_with_reset(self) -> None:
        """Say that there is nobody here."""
        self._sends.reset()

    def make_room(self) -> None:
        """Write on after the other side has read."""
        if self.is_gone:
            return
        self._sends.pump()
        if self._is_full and len(self._sends.out) <= self._low_bytes:
            self._is_full = False
            if self._protocol is not None and not self._closing:
                self._protocol.resume_writing()
        self._end_if_closed()

    def cut_power(self) -> None:
        """Be gone without a word to the other side, whose packets get no answer."""
        self._drop()
        self._reads.is_silent = True

    def come_back(self) -> None:
        """Answer for a machine that runs again and knows nothing of the connection."""
        self._reads.is_silent = False

    def hang_up(self) -> None:
        """Be gone as the kernel ends a dead process: what it has taken arrives, then the end."""
        unread = bool(self._inbox)
        self._drop()
        if unread:
            self._sends.reset()
        else:
            self._sends.closes = True
            self._sends.pump()

    @property
    def first_byte(self) -> bytes | None:
        """What a socket that nobody reads from has first; nothing at its end, None before.

        Raises:
            ConnectionResetError: it was reset.
        """
        if self._was_reset:
            raise ConnectionResetError(104, "Connection reset by peer")
        if self._inbox:
            return self._inbox[0][:1]
        return b"" if self._stream_ended else None

    # --- reading ----------------------------------------------------------------------------------

    def _notice(self) -> None:
        if self.socket is not None:
            self.socket.alert()
        else:
            self._post_read()

    def _post_read(self) -> None:
        if not self._is_read_posted and (self._inbox or self._stream_ended or self._was_reset):
            self._is_read_posted = True
            self.loop.post(self._read)

    def _read(self) -> None:
        self._is_read_posted = False
        if self.is_gone or not (self._reads_now or self._closing):
            return
        if self._inbox:
            piece = self._take()
            self._network.trace.note(self._network.now_s, Kind.READ, self._reads.number, len(piece))
            self._hand_on(piece)
            self._post_read()
        elif self._was_reset:
            self._lose(ConnectionResetError(104, "Connection reset by peer"))
        elif self._stream_ended:
            self._take_end()

    def _take(self) -> bytes:
        """Read one piece, or all that is there: the kernel joins what nobody has read yet."""
        if len(self._inbox) > 1 and self._network.chance.random() < 0.7:  # more often than not
            piece = b"".join(self._inbox)
            self._inbox.clear()
        else:
            piece = self._inbox.popleft()
        self._reads.has_read(len(piece))
        return piece

    def _hand_on(self, piece: bytes) -> None:
        if self.greeted is not None:
            greeted = self.greeted
            self.greeted = None
            if piece[:1] != HELLO:
                greeted(ConnectionResetError(104, "TLS was refused"))
                return
            if len(piece) > 1:
                self._inbox.appendleft(piece[1:])
                self._reads.flying_bytes += len(piece) - 1
            self._reads_now = False
            greeted(None)
        elif not self._closing and self._protocol is not None:
            self._protocol.data_received(piece)

    def _take_end(self) -> None:
        if self.greeted is not None:
            self._lose(ConnectionResetError(104, "closed in the handshake"))
        elif self._closing:
            self._end_if_closed()
        elif self._protocol is not None:
            self._protocol.eof_received()
            self.close()

    # --- the end ----------------------------------------------------------------------------------

    def _end_if_closed(self) -> None:
        """Be closed once both streams have ended."""
        done = self._closing and self._sends.is_finished
        if done and self._stream_ended and not self._inbox and not self.is_gone:
            self._drop()
            self.loop.post(self._tell_lost, None)

    def _lose(self, error: Exception) -> None:
        if self.is_gone:
            return
        self._drop()
        if self.greeted is not None:
            self.greeted(error)
        else:
            self._tell_lost(error)

    def _tell_lost(self, error: Exception | None) -> None:
        self._network.trace.note(self._network.now_s, Kind.CLOSED, self._reads.number)
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)

    def _drop(self) -> None:
        self.is_gone = self._closing = True
        self._inbox.clear()
        self._sends.out.clear()
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
