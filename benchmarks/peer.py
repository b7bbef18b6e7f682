"""A connection of the load generator: the protocol's login once, then raw bytes.

The generator must not be the bottleneck, so after the login nothing is parsed: frames are counted
by what they contain, and messages are written from a template.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from jim.crypto import handshake
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.links import make_genesis
from jim.crypto.tls import peer_spki, pinning_context
from jim.protocol import messages as m
from jim.protocol.codec import encode

if TYPE_CHECKING:
    import ssl

    from jim.crypto.transcript import Exchange

Address = tuple[str, int]
PeerT = TypeVar("PeerT", bound="Peer")


class Account:
    """An account of the generator: registered at the first login, proven at the later ones."""

    __slots__ = ("genesis", "head", "key", "name", "registered")

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = SigningKey.generate()
        self.genesis = make_genesis(
            name, self.key, SigningKey.generate().public, time.time_ns() // 1_000_000
        )
        self.head = verify_chain([self.genesis], name).head
        self.registered = False


class Peer(asyncio.Protocol):
    """One connection. Subclasses override `frames`, which gets whole frames only."""

    context = pinning_context()

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._rest = b""
        self._replies: asyncio.Queue[bytes] | None = asyncio.Queue()
        self.lost = False
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the loss, and wake whoever waits for a reply."""
        self.lost = True
        self.gone.set()
        if self._replies is not None:
            self._replies.put_nowait(b"")

    def data_received(self, data: bytes) -> None:
        """Hand whole frames on."""
        if self._rest:
            data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if not end:
            return
        if self._replies is not None:
            for frame in data[: end - 1].split(b"\n"):
                self._replies.put_nowait(frame)
        else:
            self.frames(data[:end])

    def frames(self, data: bytes) -> None:
        """Take one or more whole frames."""

    async def ask(self, request: msgspec.Struct) -> Any:
        """Send a request and give the decoded next frame, as plain objects."""
        assert self._replies is not None
        self.transport.write(encode(request))
        frame = await self._replies.get()
        if not frame:
            raise ConnectionError("the server closed the connection")
        return msgspec.json.decode(frame)

    def go_raw(self) -> None:
        """From here on frames go to `frames`."""
        self._replies = None

    async def login(self, account: Account) -> int:
        """Register or log in; give the last send number that the server has stored."""
        exchange = await self._greet()
        if account.registered:
            reply = await self.ask(self._auth(account, exchange))
        else:
            reply = await self.ask(self._register(account, exchange))
        if reply["action"] != "welcome":
            raise ConnectionError(f"{account.name}: {reply}")
        account.registered = True
        return int(reply["last_n"])

    async def _greet(self) -> Exchange:
        cnonce = handshake.new_nonce()
        reply = await self.ask(m.Hello(id=1, v=m.VERSION, cnonce=cnonce, client="bench"))
        challenge = msgspec.convert(reply, m.Challenge)
        spki = peer_spki(self.transport.get_extra_info("ssl_object"))
        return handshake.check_challenge(
            tls_spki=spki,
            cnonce=cnonce,
            server_id=challenge.server_id,
            spki=challenge.spki,
            snonce=challenge.snonce,
            terms=challenge.terms,
            sig=challenge.sig,
            pinned=None,
        )

    @staticmethod
    def _auth(account: Account, exchange: Exchange) -> m.Auth:
        sig = handshake.prove_auth(
            account.key, exchange, name=account.name, head=account.head, counter=0
        )
        return m.Auth(
            id=2,
            name=account.name,
            device=device_id(account.key.public),
            head=account.head,
            counter=0,
            sig=sig,
        )

    @staticmethod
    def _register(account: Account, exchange: Exchange) -> m.Register:
        sig = handshake.prove_register(
            account.key, exchange, name=account.name, genesis=account.genesis
        )
        return m.Register(id=2, name=account.name, genesis=account.genesis, sig=sig)


async def connect(factory: type[PeerT], address: Address) -> PeerT:
    """Open a TLS connection; the server proves itself in the login that follows."""
    loop = asyncio.get_running_loop()
    context: ssl.SSLContext = Peer.context
    _, peer = await loop.create_connection(factory, *address, ssl=context, server_hostname="")
    return peer
