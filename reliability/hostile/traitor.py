"""A server that proves its identity, works, and lies: the real one behind a hook for every message.

It ends the clients' TLS with the real server's own certificate and passes the login on, so that to
the clients it *is* the server which they have pinned. What goes through it can be altered, dropped,
repeated, held back and invented. It keeps mailboxes of its own: frames that it drops or invents
leave no gap and no double position for the clients to find.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jim.common.stream import MessageStream
from jim.core.limits import Limits
from jim.protocol import messages as m
from jim.protocol.codec import FROM_CLIENT, FROM_SERVER, Invalid, encode
from reliability.hostile.false_server import FalseServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jim.crypto.tls import ServerTls

FRAME_BYTES: Final = 1024 * 1024
"""Taken from both sides: what a client takes from a server (jim.client.link)."""

Frame = m.Delivery | m.Notice


class Treason:
    """What a server does with what it carries; this one is honest, attacks change parts of it."""

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Give what the real server gets in place of a message of a client."""
        del session
        return [message]

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Give what a client gets in place of a message of the real server."""
        del session
        return [message]


class Mailbox:
    """What a device has been shown of its mailbox, under positions of the traitor's own."""

    def __init__(self, base: int) -> None:
        """Begin where the device has confirmed everything; up to there positions are the same."""
        self._base = base
        self._skipped_to = base
        self._entries: list[tuple[int, Frame]] = []
        self._taken = base
        self.acked = base
        """The last position, in the client's count, that the client has confirmed."""

    def take(self, frame: Frame, shown: Iterable[Frame]) -> None:
        """Keep what is shown in place of the real server's next frame."""
        self._add(frame.position, shown)

    def invent(self, frames: Iterable[Frame]) -> None:
        """Keep frames that the real server knows nothing of."""
        self._add(self._taken, frames)

    def _add(self, through: int, frames: Iterable[Frame]) -> None:
        self._taken = through
        added = False
        for frame in frames:
            position = self._base + len(self._entries) + 1
            self._entries.append((through, msgspec.structs.replace(frame, position=position)))
            added = True
        if not added and self._entries:
            self._entries[-1] = (through, self._entries[-1][1])
        elif not added:
            self._skipped_to = through

    def forget(self) -> None:
        """Forget what the client has not confirmed: all of that must have been invented."""
        del self._entries[max(0, self.acked - self._base) :]

    def is_known(self, frame: Frame) -> bool:
        """Tell whether the real server's frame was dealt with on an earlier connection."""
        return frame.position <= self._taken

    def after(self, position: int, through: int | None = None) -> list[Frame]:
        """Give what follows a position of the client's, up to a frame of the real server's."""
        return [
            frame
            for of, frame in self._entries[max(0, position - self._base) :]
            if through is None or of <= through
        ]

    def to_server(self, position: int) -> int:
        """Translate what the client has confirmed."""
        if position < self._base:
            return position
        place = min(position - self._base, len(self._entries))
        return self._entries[place - 1][0] if place else self._skipped_to

    def end(self, position: int) -> int:
        """Translate where the real server's mailbox ends."""
        return self._base + len(self._entries) + max(0, position - self._taken)


class Session:
    """One client, and the connection to the real server that stands behind it."""

    def __init__(
        self,
        traitor: Traitor,
        client: MessageStream[m.ClientMessage],
        server: MessageStream[m.ServerMessage],
    ) -> None:
        """Take both ends."""
        self._traitor = traitor
        self._client, self._server = client, server
        self._sent: int | None = None
        self.name = ""
        self.device = ""

    @property
    def _mailbox(self) -> Mailbox:
        return self._traitor.mailboxes[self.device]

    def push(self, *messages: Any) -> None:
        """Tell the client something; frames of the mailbox get their place at its end."""
        frames = [each for each in messages if isinstance(each, Frame)]
        self._client.send(*(each for each in messages if not isinstance(each, Frame)))
        if frames:
            self._mailbox.invent(frames)
            self._show()

    def cut(self) -> None:
        """Break the connection."""
        self._client.abort()

    async def carry(self) -> None:
        """Carry both ways until one side closes."""
        tasks = [asyncio.create_task(self._up()), asyncio.create_task(self._down())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._server.abort()
            # What the server said last, a goodbye for one, is still to be read.
            await self._client.aclose()

    async def _up(self) -> None:
        with contextlib.suppress(OSError):
            while items := await self._client.receive():
                for item in items:
                    if isinstance(item, Invalid):
                        self._traitor.unreadable.append(f"{self.name}: {item.error}")
                        continue
                    self._traitor.heard.append(encode(item))
                    for message in self._traitor.treason.of_client(self, item):
                        self._server.send(self._for_server(message))
                await self._server.drain()

    async def _down(self) -> None:
        with contextlib.suppress(OSError):
            while items := await self._server.receive():
                for item in items:
                    if not isinstance(item, Invalid):
                        self._traitor.said.append(encode(item))
                        self._tell(item)
                await self._client.drain()

    def _for_server(self, message: Any) -> Any:
        if isinstance(message, m.Sync):
            self._sent = self._mailbox.acked = message.after
            return msgspec.structs.replace(message, after=self._mailbox.to_server(message.after))
        if isinstance(message, m.Ack):
            self._mailbox.acked = message.position
            position = self._mailbox.to_server(message.position)
            return msgspec.structs.replace(message, position=position)
        return message

    def _tell(self, item: Any) -> None:
        if isinstance(item, m.Welcome):
            self.name, self.device = item.name, item.device
            mailbox = self._traitor.mailboxes.setdefault(self.device, Mailbox(item.acked))
            self._traitor.sessions[self.device] = self
            item = msgspec.structs.replace(
                item, position=mailbox.end(item.position), acked=mailbox.acked
            )
        elif isinstance(item, m.Ok):
            item = msgspec.structs.replace(item, position=self._mailbox.end(item.position))
        if not isinstance(item, Frame):
            self._client.send(*self._traitor.treason.of_server(self, item))
        elif self._mailbox.is_known(item):
            self._show(item.position)
        else:
            self._mailbox.take(item, self._traitor.treason.of_server(self, item))
            self._show()

    def _show(self, through: int | None = None) -> None:
        """Send what is new for the client, once it has asked for its mailbox."""
        if self._sent is None:
            return
        frames = self._mailbox.after(self._sent, through)
        if frames:
            self._sent = frames[-1].position
            self._client.send(*frames)


class Traitor(FalseServer):
    """Listens on the loopback in the real server's place."""

    def __init__(self, target_port: int, tls: ServerTls) -> None:
        """Take where the real server listens, and its certificate with the key."""
        super().__init__(tls)
        self._target_port = target_port
        self.treason = Treason()
        self.mailboxes: dict[str, Mailbox] = {}
        self.sessions: dict[str, Session] = {}
        """The latest one of each device."""
        self.heard: list[bytes] = []
        """Everything that clients have ever said, as it came out of TLS."""
        self.said: list[bytes] = []
        """Everything that the real server has ever said to them."""

    async def __aexit__(self, *_: object) -> None:
        """Serve no more."""
        await super().__aexit__()
        for session in self.sessions.values():
            session.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            behind = await asyncio.open_connection("127.0.0.1", self._target_port, ssl=context)
        except OSError:
            writer.transport.abort()
            return
        client: MessageStream[m.ClientMessage] = MessageStream(
            reader, writer, FROM_CLIENT, FRAME_BYTES
        )
        server: MessageStream[m.ServerMessage] = MessageStream(*behind, FROM_SERVER, FRAME_BYTES)
        await Session(self, client, server).carry()


LIFTED: Final = Limits(
    messages_per_s=0,
    bytes_per_s=0,
    exempt_networks=("127.0.0.0/8", "::1/128"),
    claims_per_minute=10_000,
)
"""The pace of a person would be what is waited for; 0 is none of it."""
