"""A client that sends bytes: TLS, the honest login where it is wanted, and whatever comes back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final, Self

from jim.common.stream import MessageStream
from jim.crypto import handshake, links, tls
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.crypto.transcript import Exchange

PATIENCE_S: Final = 20.0
"""Longest wait for an answer: only a server that hangs reaches it, however busy the machine is."""

MAX_FRAME_BYTES: Final = 4 << 20


class Silence(Exception):
    """Nothing came in time: the server hangs."""


class Babble(Exception):
    """The server sent something that is no message."""


class Account:
    """An account with one device: registered at its first login."""

    def __init__(self, name: str, acct: str | None = None) -> None:
        """Take the name to claim, and what the genesis calls it if that is another spelling."""
        self.name = name
        self.key = SigningKey.generate()
        self.genesis = links.make_genesis(
            acct or name, self.key, SigningKey.generate().public, 1_000
        )
        self.head = verify_chain([self.genesis], acct or name).head if name else bytes(32)
        self.is_registered = False


class Wire:
    """One connection to a server."""

    def __init__(
        self, stream: MessageStream[m.ServerMessage], writer: asyncio.StreamWriter
    ) -> None:
        self._stream = stream
        self._writer = writer
        self._waiting: list[m.ServerMessage] = []
        self.is_over = False

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Open a TLS connection to a port of the loopback."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls.pinning_context(), server_hostname="127.0.0.1"
            )
        return cls(MessageStream(reader, writer, FROM_SERVER, MAX_FRAME_BYTES), writer)

    def close(self) -> None:
        """Hang up at once."""
        self._stream.abort()

    def send(self, *messages: m.ClientMessage) -> None:
        """Send messages."""
        self._stream.send(*messages)

    def send_raw(self, data: bytes) -> None:
        """Send bytes."""
        self._stream.send_frames(data)

    async def send_slowly(self, data: bytes) -> None:
        """Send every byte in a TLS record of its own."""
        for place in range(len(data)):
            self._writer.write(data[place : place + 1])
            await asyncio.sleep(0)

    def limit_unsent(self, size_bytes: int) -> None:
        """Let the kernel keep no more at our end of what the server has not taken."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size_bytes)

    @property
    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._writer.is_closing()

    async def drain(self) -> None:
        """Wait until the server takes what was sent, or has closed."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._stream.drain()

    async def receive(self) -> m.ServerMessage | None:
        """Give the next message, None at the end of the stream.

        Raises:
            Silence: nothing comes.
            Babble: it is no message.
        """
        while not self._waiting:
            items: list[Any] = []
            try:
                async with asyncio.timeout(PATIENCE_S):
                    items = await self._stream.receive()
            except TimeoutError:
                raise Silence from None
            except OSError:
                pass
            if not items:
                self.is_over = True
                return None
            for item in items:
                if isinstance(item, Invalid):
                    raise Babble(str(item.error))
                self._waiting.append(item)
        return self._waiting.pop(0)

    async def until(self, is_last: Callable[[m.ServerMessage], bool]) -> list[m.ServerMessage]:
        """Give what comes up to a message that is the one, or up to the end."""
        found: list[m.ServerMessage] = []
        while (message := await self.receive()) is not None:
            found.append(message)
            if is_last(message):
                break
        return found

    # --- logins -----------------------------------------------------------------------------------

    async def greet(self) -> Exchange:
        """Say hello and check the challenge."""
        cnonce = handshake.new_nonce()
        self.send(m.Hello(id=1, v=m.VERSION, cnonce=cnonce))
        challenge = await self._expect(m.Challenge)
        return handshake.check_challenge(
            tls_spki=tls.peer_spki(self._stream.ssl_object),
            cnonce=cnonce,
            server_id=challenge.server_id,
            spki=challenge.spki,
            snonce=challenge.snonce,
            terms=challenge.terms,
            sig=challenge.sig,
            pinned=None,
        )

    async def log_in(self, account: Account) -> m.Welcome:
        """Register, or log in once registered.

        Raises:
            ConnectionError: the server does not let us in.
        """
        exchange = await self.greet()
        self.send(
            self.registration(account, exchange)
            if not account.is_registered
            else self._auth(account, exchange)
        )
        welcome: m.Welcome = await self._expect(m.Welcome)
        account.is_registered = True
        return welcome

    @staticmethod
    def registration(account: Account, exchange: Exchange) -> m.Register:
        """Make the claim of an account's name."""
        sig = handshake.prove_register(
            account.key, exchange, name=account.genesis.acct, genesis=account.genesis
        )
        return m.Register(id=2, name=account.name, genesis=account.genesis, sig=sig)

    @staticmethod
    def _auth(account: Account, exchange: Exchange) -> m.Auth:
        sig = handshake.prove_auth(
            account.key, exchange, name=account.name, head=account.head, counter=0
        )
        device = device_id(account.key.public)
        return m.Auth(id=2, name=account.name, device=device, head=account.head, counter=0, sig=sig)

    async def _expect(self, kind: type[Any]) -> Any:
        message = await self.receive()
        if not isinstance(message, kind):
            raise ConnectionError(f"{kind.__name__} expected, {message!r} came")
        return message
