"""One connection to a server: TCP, TLS, messages in and out, requests by id, signs of life.

It neither logs in (login.py) nor knows what messages mean (courier.py), and it never reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from jim.client import policy
from jim.common.stream import MessageStream
from jim.crypto import tls
from jim.errors import ConnectFailed, JimError, TlsError, UnknownAction
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Invalid, encode
from jim.protocol.replies import raised

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.client.address import Address
    from jim.client.known_servers import Mode

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES: Final = 1024 * 1024
"""Accepted from a server: its outgoing bound (`Limits.outgoing_bytes`), which no frame exceeds."""

MAX_COMPLAINTS: Final = 16
"""Lines in the log about what one connection brings that cannot be used: as many as the server
bears of a client (`Limits.malformed_frames`); a log is kept for weeks."""

PONG_BYTES: Final = 65_536
"""With more than that unsent a probe is not answered, for what lies there is a sign of life itself.
One read of the other side (jim.common.stream): a server that probes without end and reads nothing
must not fill the memory."""

_FREE: Final = (m.Ack, m.Pong)
"""What the server does not count as a message."""

_PUSHED: Final = (m.Delivered, m.PresenceChange, m.DevicesChange, m.KeysLeft, m.Probe)
"""What a server may send unasked before `sync`."""

Request = (
    m.Sync
    | m.Receipts
    | m.Presence
    | m.ChainRequest
    | m.Extend
    | m.Offers
    | m.Draft
    | m.Keys
    | m.Claim
    | m.Quit
)
Reply = (
    m.Ok
    | m.ReceiptsReply
    | m.Contacts
    | m.Chain
    | m.Extended
    | m.OffersReply
    | m.ProofReply
    | m.KeysReply
    | m.Claimed
    | m.Goodbye
)

_REPLIES: Final = (
    m.Ok,
    m.ReceiptsReply,
    m.Contacts,
    m.Chain,
    m.Extended,
    m.OffersReply,
    m.ProofReply,
    m.KeysReply,
    m.Claimed,
)


async def connect(address: Address, mode: Mode, ca_file: Path | None = None) -> Link:
    """Connect by whichever of the host's addresses answers first.

    Raises:
        TlsError: the server's certificate is not vouched for; only in mode ca.
        ConnectFailed: anything else; may be tried again.
    """
    if mode == "ca":
        context = await asyncio.to_thread(tls.ca_context, ca_file)
    else:
        context = tls.pinning_context()
    try:
        async with asyncio.timeout(policy.CONNECT_S):
            reader, writer = await asyncio.open_connection(
                address.host,
                address.port,
                ssl=context,
                happy_eyeballs_delay=None if address.is_ip else policy.HAPPY_EYEBALLS_S,
            )
    except ssl.SSLCertVerificationError as error:
        detail = f"{address}: the certificate is not valid: {error.verify_message}"
        raise TlsError(detail, reason="untrusted") from error
    except TimeoutError as error:
        raise ConnectFailed(f"{address}: no answer", reason="timeout") from error
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(
            f"{address}: {_explain(error)}", reason=failure_reason(error)
        ) from error
    return Link(MessageStream(reader, writer, FROM_SERVER, MAX_FRAME_BYTES), str(address), mode)


class Link:
    """A connection; `receive` is called by one task, everything else by any."""

    def __init__(self, stream: MessageStream[m.ServerMessage], address: str, mode: Mode) -> None:
        """Take an open connection; `address` is only for texts."""
        self.mode: Mode = mode
        self.on_sent: Callable[[int, int], object] | None = None
        """Called with the number of messages and of bytes that `send` has sent."""
        self._stream = stream
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._backlog: deque[m.ServerMessage] = deque()
        self._waiting: dict[str, asyncio.Future[Reply]] = {}
        self._requests = 0
        self._end: JimError | None = None
        self._heard_at = self._loop.time()
        self._complaints = 0
        self._poke = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    def peer_spki(self) -> bytes:
        """Give the SHA-256 of the public key that TLS showed.

        Raises:
            TlsError: there is none.
        """
        return tls.peer_spki(self._stream.ssl_object)

    def send(self, *messages: m.ClientMessage) -> None:
        """Queue messages; whether they arrive shows in the answers."""
        frames = b"".join(map(encode, messages))
        self._stream.send_frames(frames)
        if self.on_sent is not None:
            cost = sum(not isinstance(message, _FREE) for message in messages)
            self.on_sent(cost, len(frames))

    def send_paced(self, frames: bytes) -> None:
        """Queue encoded messages that have been counted already."""
        self._stream.send_frames(frames)

    # --- answers ----------------------------------------------------------------------------------

    def request(self, message: Request) -> asyncio.Future[Reply]:
        """Send a request under a fresh id; the future gives the reply or raises the server's error.

        Raises:
            ConnectFailed: (the future) the connection ended without an answer.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self._end is not None:
            future.set_exception(self._end)
            return future
        message.id = f"r{self._requests}"
        self._requests += 1
        self._waiting[message.id] = future
        self.send(message)
        return future

    async def ask(self, message: m.ClientMessage) -> m.ServerMessage:
        """Send a login message and give what the server says next.

        What it pushes in between concerns nobody before the login is complete; the courier asks for
        all of it afterwards.

        Raises:
            JimError: the server's error, or the end of the connection.
        """
        self.send(message)
        reply = await self._next()
        while isinstance(reply, _PUSHED):
            reply = await self._next()
        if isinstance(reply, (m.ErrorReply, m.Goodbye)):
            raise raised(reply)
        return reply

    async def _next(self) -> m.ServerMessage:
        while not self._backlog:
            self._backlog.extend(await self._read())
        return self._backlog.popleft()

    async def receive(self) -> list[m.ServerMessage]:
        """Give what came with one read, without the answers to requests and signs of life.

        The list may be empty; the messages before a fatal one are given before it is raised.

        Raises:
            JimError: why the connection has ended.
        """
        if self._backlog:
            messages = list(self._backlog)
            self._backlog.clear()
        else:
            messages = await self._read()
        return [message for message in messages if not self._is_handled(message)]

    async def _read(self) -> list[m.ServerMessage]:
        if self._end is not None:
            raise self._end
        try:
            items = await self._stream.receive()
        except OSError as error:
            raise self._ended(ConnectFailed(f"{self._address}: {_explain(error)}")) from error
        if not items:
            raise self._ended(ConnectFailed(f"{self._address}: the server closed the connection"))
        self._heard_at = self._loop.time()
        messages: list[m.ServerMessage] = []
        for item in items:
            if isinstance(item, Invalid):
                self._skip(item)
            elif _is_plausible(item):
                messages.append(item)
            else:
                self._ended(protocol_error(f"{self._address}: a number out of range"))
                break
        return messages

    def _skip(self, invalid: Invalid) -> None:
        """Skip what a newer server may say; give the connection up over what makes no sense."""
        self._complain("the server sent something unknown", invalid.error.code)
        if not isinstance(invalid.error, UnknownAction):
            self._ended(protocol_error(f"{self._address}: this does not speak JIM"))

    def _complain(self, what: str, code: str) -> None:
        """Note in the log what the server does wrong, but not without end."""
        self._complaints += 1
        if self._complaints <= MAX_COMPLAINTS:
            logger.warning("%s: %s", what, code)

    def _is_handled(self, message: m.ServerMessage) -> bool:
        """Deal with what concerns the connection itself."""
        if isinstance(message, m.Probe):
            if self._stream.unsent_bytes <= PONG_BYTES:
                self.send(m.Pong(id=message.id))
            return True
        if isinstance(message, m.Goodbye):
            self._answer(message.id, message)
            self._ended(raised(message))
            return True
        if isinstance(message, m.ErrorReply):
            return self._is_handled_error(message)
        if isinstance(message, _REPLIES):
            self._answer(message.id, message)
            return True
        return isinstance(message, m.Pong)

    def _is_handled_error(self, message: m.ErrorReply) -> bool:
        error = raised(message)
        if message.fatal:
            self._ended(error)
        future = self._waiting.pop(str(message.id), None)
        if future is not None and not future.done():
            future.set_exception(error)
        elif not isinstance(message.id, int):
            self._complain("the server refused something", error.code)
        return not isinstance(message.id, int)

    def _answer(self, request_id: object, reply: Reply) -> None:
        future = self._waiting.pop(str(request_id), None)
        if future is not None and not future.done():
            future.set_result(reply)

    # --- life and death -----------------------------------------------------------------------

    def start_watching(self) -> None:
        """From now on find out by itself when the other side is gone."""
        self._watch = asyncio.create_task(self._watch_life())

    def probe_now(self) -> None:
        """Ask for a sign of life at once: the machine may have slept."""
        self._poke.set()

    def give_up(self, error: JimError) -> None:
        """End the connection for a reason of ours; `receive` raises it."""
        self._ended(error)
        self._stream.abort()

    async def _watch_life(self) -> None:
        while True:
            await self._silence()
            asked_at = self._loop.time()
            self.send(m.Probe(id=f"p{asked_at}"))
            await asyncio.sleep(policy.DEAD_S)
            if self._heard_at < asked_at:
                detail = f"{self._address}: no sign of life"
                self.give_up(ConnectFailed(detail, reason="timeout"))
                return

    async def _silence(self) -> None:
        """Wait until nothing was heard for long enough, or somebody wants to know."""
        while (quiet_s := self._heard_at + policy.SILENCE_S - self._loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(quiet_s):
                    await self._poke.wait()
                    break
        self._poke.clear()

    def _ended(self, error: JimError) -> JimError:
        """Keep the first reason, and tell everybody who still waits for an answer."""
        if self._end is None:
            self._end = error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._end)
                future.exception()  # whoever has stopped waiting need not hear of it
        self._waiting.clear()
        return self._end

    async def aclose(self, *, politely: bool = False) -> None:
        """Close; `politely` says goodbye first, so that the server need not find out."""
        if self._watch is not None:
            self._watch.cancel()
        if politely and self._end is None:
            self.send(m.Quit(id="quit"))
        self._ended(ConnectFailed(f"{self._address}: closed"))
        await self._stream.aclose()


def _is_plausible(message: m.ServerMessage) -> bool:
    """Accept only numbers that every part of the client can keep (a column of SQLite, for one)."""
    values = msgspec.structs.astuple(message)
    if isinstance(message, m.ReceiptsReply):
        values += (*message.delivered.values(), *message.chains.values())
    return all(0 <= value <= m.MAX_INTEGER for value in values if isinstance(value, int))


def _explain(error: Exception) -> str:
    """Give the system's words for an error of the network, in one line."""
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def failure_reason(error: Exception) -> str:
    """Give a stable word for front ends that explain what to do, and for the back-off."""
    if isinstance(error, ssl.SSLError) and "ACCESS_DENIED" in (error.reason or ""):
        return "turned_away"
    if isinstance(error, ssl.SSLEOFError | ConnectionResetError):
        return "closed"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "name" if type(error).__name__ in {"gaierror", "UnicodeError"} else "network"


def protocol_error(detail: str) -> ConnectFailed:
    """Give the error for a server that does not keep to the protocol."""
    return ConnectFailed(detail, reason="protocol")
