"""A server that proves its identity and then lies: the part of a server that a client sees.

On each connection it follows a script: it behaves, but at one point says something odd first. After
that it goes on honestly and asks for a sign of life. So every case ends in one of three ways: the
client answers, it closes the connection, or it hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from msgspec import UNSET

from jim.client.encryption.vault import new_vault
from jim.common.stream import MessageStream
from jim.core.limits import Limits
from jim.crypto import certificate, handshake, tls
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.links import make_genesis
from jim.crypto.transcript import link_hash
from jim.protocol import messages as m
from jim.protocol.codec import FROM_CLIENT, Invalid, encode
from reliability.hostile.false_server import FalseServer

if TYPE_CHECKING:
    from pathlib import Path

Point = Literal["hello", "terms", "login", "active", "honest"]
"""Where the odd thing comes: before the challenge, as its terms, before the welcome, after it."""

PROBE: Final = "hostile"
PATIENCE_S: Final = 20.0
"""For the client to answer or to close: it does so at once; only one that hangs reaches this."""

TERMS: Final = m.encode_terms(
    m.Terms(
        versions=[m.VERSION],
        server="liar",
        limits=Limits().announced(),
        policy=m.Policy(registration="open", plain=False, waiting_messages=1, waiting_days=1),
    )
)

Ending = Literal["answered", "closed", "hangs"]


class Script(NamedTuple):
    """What happens on one connection."""

    name: str
    point: Point
    content: bytes = b""


class Liar(FalseServer):
    """Serves on the loopback, one script a connection; `ended` tells how each connection ended."""

    def __init__(self, directory: Path) -> None:
        """Keep its certificate in a directory."""
        now = datetime.datetime.now(datetime.UTC)
        shown = certificate.ensure_certificate(directory / "liar.pem", [], now)
        super().__init__(tls.server_tls(shown))
        self._identity = SigningKey.generate()
        self._name = self._device = ""
        self._chains: dict[str, m.Link] = {}
        self._keys: dict[str, m.PublicKey] = {}
        self._seqs = itertools.count(1)
        self.scripts: asyncio.Queue[Script] = asyncio.Queue()
        self.ended: asyncio.Queue[tuple[Script, Ending]] = asyncio.Queue()
        self.sent: list[m.Msg] = []
        """What the client has sent, on all connections."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream: MessageStream[m.ClientMessage] = MessageStream(
            reader, writer, FROM_CLIENT, Limits().frame_bytes
        )
        script = await self.scripts.get()
        ending: Ending = "hangs"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if script.point == "honest" else PATIENCE_S):
                ending = await self._follow(stream, script)
        stream.abort()
        self.ended.put_nowait((script, ending))

    async def _follow(self, stream: MessageStream[m.ClientMessage], script: Script) -> Ending:
        """Answer everything; gives how the client took the odd thing."""
        try:
            while items := await stream.receive():
                for item in items:
                    if isinstance(item, Invalid):
                        self.unreadable.append(f"{script.name}: {item.error}")
                    elif isinstance(item, m.Pong) and item.id == PROBE:
                        return "answered"
                    else:
                        self._answer(stream, script, item)
        except OSError:
            pass
        return "closed"

    def _answer(
        self, stream: MessageStream[m.ClientMessage], script: Script, item: m.ClientMessage
    ) -> None:
        if isinstance(item, m.Hello):
            if script.point == "hello":
                stream.send_frames(script.content + b"\n")
            stream.send(self._challenge(item, script))
        elif isinstance(item, (m.Auth, m.Register)):
            if script.point == "login":
                stream.send_frames(script.content + b"\n")
            stream.send(self._welcome(item))
        elif isinstance(item, m.Sync):
            stream.send(m.Ok(id=item.id, response=200, time=1, position=item.after))
            if script.point != "honest":
                odd = script.content + b"\n" if script.point == "active" else b""
                stream.send_frames(odd + encode(m.Probe(id=PROBE)))
        else:
            self._reply(stream, item)

    def _reply(self, stream: MessageStream[m.ClientMessage], item: Any) -> None:
        if isinstance(item, m.Msg):
            self.sent.append(item)
            seq = next(self._seqs)
            stream.send(m.Stored(id=item.id, response=202, time=1, n=item.n, seq=seq))
        elif isinstance(item, m.Receipts):
            stream.send(m.ReceiptsReply(id=item.id, response=200, time=1, delivered={}))
        elif isinstance(item, m.Presence):
            stream.send(m.Contacts(id=item.id, response=200, time=1, online=[], offline=[]))
        elif isinstance(item, m.Probe):
            stream.send(m.Pong(id=item.id))
        else:
            self._reply_about_keys(stream, item)

    def _reply_about_keys(self, stream: MessageStream[m.ClientMessage], item: Any) -> None:
        """Let everybody exist whom the client asks for, with one device."""
        if isinstance(item, m.ChainRequest):
            link = self._chain(self._name if item.name is UNSET else item.name)
            links = [] if item.after is not UNSET and item.after >= link.seq else [link]
            stream.send(m.Chain(id=item.id, response=200, time=1, links=links))
        elif isinstance(item, m.Keys):
            count = len(item.one_time)
            stream.send(m.KeysReply(id=item.id, response=200, time=1, one_time_keys=count))
        elif isinstance(item, m.Claim):
            keys = {each: self._keys[each] for each in item.devices if each in self._keys}
            stream.send(m.Claimed(id=item.id, response=200, time=1, keys=keys))

    def _chain(self, name: str) -> m.Link:
        """Give the one link of somebody's chain: the client's own, or one that is made up."""
        if name not in self._chains:
            key = SigningKey.generate()
            vault = new_vault(key, device_id(key.public))
            recovery = SigningKey.generate().public
            self._chains[name] = make_genesis(name, key, recovery, 1, vault.keys)
            self._keys[device_id(key.public)] = vault.fallback
        return self._chains[name]

    def _challenge(self, hello: m.Hello, script: Script) -> m.Challenge:
        """Prove the identity, for odd terms too: a liar may sign whatever it likes."""
        terms = script.content.decode() if script.point == "terms" else TERMS
        exchange, sig = handshake.prove_server(
            self._identity, spki=self._tls.spki, cnonce=hello.cnonce, terms=terms
        )
        return m.Challenge(
            id=hello.id,
            response=100,
            time=1,
            snonce=exchange.snonce,
            server_id=self._identity.public,
            spki=self._tls.spki,
            terms=terms,
            sig=sig,
        )

    def _welcome(self, item: m.Auth | m.Register) -> m.Welcome:
        """Let anybody in, into a new lineage where nothing is stored and nothing waits."""
        if isinstance(item, m.Register):
            self._name, self._device = item.name, device_id(item.genesis.login_key)
            self._chains[item.name] = item.genesis
        lineage = next(self._seqs)
        return m.Welcome(
            id=item.id,
            response=200,
            time=1,
            name=item.name,
            device=self._device,
            last_n=0,
            position=1_000,
            acked=0,
            epoch=f"lineage {lineage}",
            chain_seq=0,
            chain_head=link_hash(self._chain(item.name)),
        )


def delivery(position: int, sender: str, text: str) -> bytes:
    """Make an honest frame of the mailbox."""
    message = m.Delivery(
        position=position,
        seq=position,
        sender=sender,
        device="d" * 16,
        n=position,
        to="carol",
        time=1_700_000_000_000,
        message=text,
    )
    return encode(message)
