"""A server that follows a script over real TLS, and that can lie about who it is."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from typing import TYPE_CHECKING, Any, Self

import msgspec

from jim.common.stream import MessageStream
from jim.core.limits import Limits
from jim.crypto import certificate, handshake, tls
from jim.crypto.keys import SigningKey
from jim.protocol import messages as m
from jim.protocol.codec import FROM_CLIENT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Stream = MessageStream[m.ClientMessage]
Script = "Callable[[Stream], Awaitable[None]]"

TERMS = m.encode_terms(
    m.Terms(
        versions=[1],
        server="fake",
        limits=Limits().announced(),
        policy=m.Policy(registration="open", plain=False, waiting_messages=1, waiting_days=1),
    )
)


async def silence(stream: Stream) -> None:
    """Say nothing until the client goes."""
    while await stream.receive():
        pass


def self_signed(folder: Path, name: str = "server") -> tls.ServerTls:
    """Make a certificate of our own kind; every one has another key."""
    path = folder / f"{name}.pem"
    now = datetime.datetime.now(datetime.UTC)
    return tls.server_tls(certificate.ensure_certificate(path, [], now))


class FakeServer:
    """Proves its identity and then does what `script` says; `lies` replace fields of the proof."""

    def __init__(
        self,
        certificate: tls.ServerTls,
        *,
        identity: SigningKey | None = None,
        script: Callable[[Stream], Awaitable[None]] = silence,
        context: ssl.SSLContext | None = None,
        **lies: Any,
    ) -> None:
        self.certificate = certificate
        self.identity = identity or SigningKey.generate()
        self.script = script
        self.lies = lies
        self.greets = True
        self.connections = 0
        self._context = context
        self._server: asyncio.Server | None = None
        self._streams: set[Stream] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        context = self._context or self.certificate.context
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for stream in self._streams:
            stream.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        stream: Stream = MessageStream(reader, writer, FROM_CLIENT, 2**20)
        self._streams.add(stream)
        with contextlib.suppress(OSError):
            if not self.greets or await self._greet(stream):
                await self.script(stream)
            await stream.aclose()

    async def _greet(self, stream: Stream) -> bool:
        messages = await stream.receive()
        if not messages:
            return False
        (hello,) = messages
        assert isinstance(hello, m.Hello)
        exchange, sig = handshake.prove_server(
            self.identity, spki=self.certificate.spki, cnonce=hello.cnonce, terms=TERMS
        )
        challenge = m.Challenge(
            id=hello.id,
            response=100,
            time=0,
            snonce=exchange.snonce,
            server_id=self.identity.public,
            spki=self.certificate.spki,
            terms=TERMS,
            sig=sig,
        )
        stream.send(msgspec.structs.replace(challenge, **self.lies))
        return True
