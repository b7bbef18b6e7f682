"""One connection: bytes in, frames out, back-pressure both ways, one good end. Knows no message.

Writes are collected and made once per turn of the loop. What waits is counted as it is queued: the
frames of this turn, and what the transport has not got rid of. From half of the bound on, pushes
stop (the store has everything); only answers to what the client asks itself still pile up, and the
whole bound ends the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from jim.common.stream import cut_off
from jim.core.admission import Ticket
from jim.errors import Internal, LoginTimeout, Shutdown, SlowConsumer, StoreError, WireError
from jim.protocol.codec import FROM_CLIENT, Decoder, encode
from jim.protocol.replies import error_reply, goodbye
from jim.server.node import now_ms
from jim.server.stage import OVER, Hold, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jim.errors import JimError
    from jim.protocol.messages import Goodbye
    from jim.server.node import Node

log = logging.getLogger(__name__)

LINGER_S: Final = 2.0
"""From the last frame to cutting the connection off: a round trip of a bad link, and a bit."""


class Visitor(Struct, frozen=True):
    """What the listener knows of a connection."""

    address: str
    ticket: Ticket
    spki: bytes
    """Of the certificate that this connection's TLS has shown."""
    since_s: float
    """When its first byte came; the login is timed from here."""


class Connection(asyncio.Protocol):
    """A client on the other end of a transport; the `Outlet` of its session."""

    __slots__ = (
        "_begin",
        "_bound_bytes",
        "_ceiling_bytes",
        "_deadline",
        "_decoder",
        "_ended",
        "_holds",
        "_marked",
        "_out",
        "_queued_bytes",
        "_room_bytes",
        "_stuck",
        "_transport",
        "_writable",
        "closing",
        "heard_s",
        "node",
        "paused_s",
        "probed",
        "stage",
        "visitor",
    )

    _transport: asyncio.Transport
    stage: Stage

    def __init__(self, node: Node, visitor: Visitor, begin: Callable[[Connection], Stage]) -> None:
        """Wait for the end of the TLS handshake; `begin` then makes the first stage."""
        self.node = node
        self.visitor = visitor
        self.heard_s = visitor.since_s
        """When something last came from the client."""
        self.probed = False
        """A probe is out since then."""
        self.closing = False
        self.paused_s: float | None = None
        """Since when the client reads too slowly, None if it does not."""
        self._begin = begin
        self._bound_bytes = node.limits.outgoing_bytes
        self._ceiling_bytes = self._bound_bytes
        """What may wait while pushes are stopped; negative once that was not enough."""
        self._decoder = Decoder(FROM_CLIENT, node.limits.login_frame_bytes)
        self._deadline: asyncio.TimerHandle | None = None
        self._ended = False
        self._holds = Hold(0)
        self._marked = False
        """The outbox lets us flush at the end of this turn."""
        self._out: list[bytes] = []
        self._queued_bytes = 0
        self._room_bytes = self._bound_bytes // 2
        """What may be queued in this turn without a closer look."""
        self._stuck = False
        """The transport has more than it likes."""
        self._writable: asyncio.Future[None] | None = None

    # --- called by the transport ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the login and start its clock."""
        self.stage = self._begin(self)
        self._transport = stream = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        stream.set_write_buffer_limits(high=self._bound_bytes // 2)
        self.node.connections.add(self)
        ends_s = self.visitor.since_s + self.node.limits.login_s
        self._deadline = self.node.loop.call_at(ends_s, self.close, LoginTimeout())
        log.info("connected %s", self.visitor.address)
        if self.node.draining:
            self.close(Shutdown())

    def data_received(self, data: bytes) -> None:
        """Decode what came and hand it on."""
        if self.closing:
            return
        now_s = self.heard_s = self.node.loop.time()
        self.probed = False
        try:
            self.stage.receive(self._decoder.feed(data), len(data), now_s)
        except Exception as error:  # noqa: BLE001 - one session's fault must not reach the others
            self.fail(error)

    def pause_writing(self) -> None:
        """Note that the client reads too slowly."""
        self._stuck = True
        with self.guarded():
            self._pause(self._bound_bytes // 2)

    def resume_writing(self) -> None:
        """Note that the client has read enough to go on."""
        self._stuck = False
        with self.guarded():
            self._resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self.closing = True
        # Its place is given back whatever happens: it would be missing until the next start.
        self.node.admission.leave(self.visitor.ticket)
        self.node.departed(self)
        self._set_writable()
        try:
            self._end()
            reason = type(exc).__name__ if exc else "closed"
            log.info("disconnected %s (%s): %s", self.visitor.address, self.stage.label(), reason)
        finally:
            self.stage = OVER
            self._transport = cast("asyncio.Transport", OVER)

    # --- sending ----------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Queue frames; they are written together at the end of this turn of the loop."""
        self._queue(data, along=False)

    def send_along(self, data: bytes) -> None:
        """Queue frames that may wait a moment for others to be written with."""
        self._queue(data, along=True)

    def _queue(self, data: bytes, *, along: bool) -> None:
        if self.closing:
            return
        try:
            queued_bytes = self._queued_bytes + len(data)
            if queued_bytes > self._room_bytes and not self._takes(queued_bytes):
                return
            if along:
                if not self._out:
                    self.node.outbox.mark_along(self)
            elif not self._marked:
                self.node.outbox.mark(self)
                self._marked = True
            self._queued_bytes = queued_bytes
            self._out.append(data)
        except Exception as error:  # noqa: BLE001 - not the fault of whoever sends
            self.fail(error)

    def reply(self, message: Struct) -> None:
        """Queue one message."""
        self.send(encode(message))

    def flush(self) -> None:
        """Write what is queued; when the transport gets rid of it at once, pushes go on."""
        self._marked = False
        if not self._out:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._queued_bytes = 0
        self._transport.write(data)
        if self.closing:
            return
        if self.paused_s is not None and not self._stuck:
            self._resume()
        else:
            self._measure()

    async def writable(self) -> None:
        """Wait until the client has read enough, or is gone."""
        while self.paused_s is not None and not self.closing:
            if self._writable is None:
                self._writable = self.node.loop.create_future()
            await asyncio.shield(self._writable)

    def catch_up(self) -> None:
        """Read the mailbox from the store."""
        with self.guarded():
            self.stage.catch_up()

    def _takes(self, queued_bytes: int) -> bool:
        """Tell whether so much may be queued; stops pushes, and in the end the session.

        It ends in the next turn: whoever sends now may be in the middle of sending to others.
        """
        waiting_bytes = queued_bytes + self._transport.get_write_buffer_size()
        if self.paused_s is None and waiting_bytes > self._bound_bytes // 2:
            self._pause(waiting_bytes)
        if self.paused_s is not None and waiting_bytes > self._ceiling_bytes:
            if self._ceiling_bytes >= 0:
                self._ceiling_bytes = self._room_bytes = -1
                error = SlowConsumer(limit_bytes=self._bound_bytes)
                self.node.loop.call_soon(self.close, error)
            return False
        self._measure()
        return True

    def _measure(self) -> None:
        """Note how much may be queued before the next closer look."""
        limit_bytes = self._bound_bytes // 2 if self.paused_s is None else self._ceiling_bytes
        self._room_bytes = limit_bytes - self._transport.get_write_buffer_size()

    def _pause(self, waiting_bytes: int) -> None:
        """Stop pushes; where one of them was more than the bound, answers get half of it more."""
        if self.paused_s is not None:
            return
        bound_bytes = self._bound_bytes
        excess = waiting_bytes > bound_bytes
        self._ceiling_bytes = waiting_bytes + bound_bytes // 2 if excess else bound_bytes
        self.paused_s = self.node.loop.time()
        self.stage.paused()

    def _resume(self) -> None:
        """Go on with pushes."""
        if self._ceiling_bytes < 0:  # something was left out already
            return
        self.paused_s = None
        self._set_writable()
        if not self.closing:
            self._measure()
            self.stage.resumed()

    # --- reading ----------------------------------------------------------------------------------

    @property
    def began_s(self) -> float:
        """When its first byte came, by the loop's clock."""
        return self.visitor.since_s

    @property
    def held(self) -> bool:
        """Whether we do not read at the moment, so that silence says nothing about the client."""
        return bool(self._holds)

    def hold(self, reason: Hold) -> None:
        """Stop reading until `release` of the same reason."""
        if not self._holds and not self.closing:
            self._transport.pause_reading()
        self._holds |= reason

    def release(self, reason: Hold) -> None:
        """Read again, unless there are other reasons not to."""
        if not self._holds & reason:
            return
        self._holds &= ~reason
        if not self._holds and not self.closing:
            self.heard_s = self.node.loop.time()
            self._transport.resume_reading()

    def postpone(self, seconds: float, error: WireError) -> None:
        """Give the time before the login another end, and another reason for it."""
        if self._deadline is not None and not self.closing:
            self._deadline.cancel()
            self._deadline = self.node.loop.call_later(seconds, self.close, error)

    def logged_in(self, stage: Stage) -> None:
        """Go on with the stage and the limits of a session that has logged in."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self.node.admission.authenticated(self.visitor.ticket)
        self._decoder.max_frame_bytes = self.node.limits.frame_bytes
        self.stage = stage

    # --- the end: nothing here raises, in the worst case the connection is cut --------------------

    def close(self, error: JimError) -> None:
        """Say goodbye with this error and close, once what is queued has been written."""
        with self._or_cut():
            self._finish(encode(goodbye(error, now_ms())), error.code)

    def refuse(self, error: WireError, request_id: int | str | None) -> None:
        """Answer with an error that ends the session."""
        with self._or_cut():
            reply = error_reply(error, now_ms(), request_id)
            reply.fatal = True
            self._finish(encode(reply), error.code)

    def part(self, farewell: Goodbye) -> None:
        """Give the client the goodbye that it has asked for, and close."""
        with self._or_cut():
            self._finish(encode(farewell), farewell.code)

    def fail(self, error: Exception, request_id: int | str | None = None) -> None:
        """End the session over something that nobody foresaw; the log has the details."""
        with self._or_cut():
            incident = self.node.incident(error, f"session of {self.visitor.address}")
            self.refuse(Internal(incident=incident), request_id)

    @contextlib.contextmanager
    def guarded(self, request_id: int | str | None = None) -> Iterator[None]:
        """End the session over a fault in this block. One of the store ends the server instead."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - one session's fault must not reach the others
            self.fail(error, request_id)

    @contextlib.contextmanager
    def _or_cut(self) -> Iterator[None]:
        """Cut the connection off when it cannot even be closed: there may be no memory for that."""
        try:
            yield
        except Exception:
            self.abort()
            with contextlib.suppress(Exception):  # logging may need what there is no more of
                log.exception("cut off %s", self.visitor.address)

    def _finish(self, last_frame: bytes, code: str) -> None:
        """Write the last frame after all queued ones, and close."""
        if self.closing:
            return
        log.info("closing %s (%s): %s", self.visitor.address, self.stage.label(), code)
        self.closing = True
        self._out.append(last_frame)
        self.flush()
        self._end()
        self._set_writable()
        self._transport.close()
        self.node.loop.call_later(LINGER_S, self._cut_off)

    def abort(self) -> None:
        """Cut the connection off without a word."""
        self.closing = True
        with contextlib.suppress(Exception):  # `connection_lost` tries again
            self._end()
        self._cut_off()

    def _cut_off(self) -> None:
        cut_off(self._transport)

    def _end(self) -> None:
        if self._ended:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self.stage.end()
        self._ended = True

    def _set_writable(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None
