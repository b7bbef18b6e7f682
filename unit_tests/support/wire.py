"""A small client for tests of the server: speaks the protocol over TLS and keeps nothing."""

from __future__ import annotations

import asyncio
import functools
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import UNSET, Struct, UnsetType

from jim.crypto import handshake, links, tls
from jim.crypto.device_keys import sign_key
from jim.crypto.keys import NO_KEYS, SigningKey, device_id
from jim.crypto.olm import Olm
from jim.crypto.transcript import Exchange, link_hash
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Decoder, Invalid, encode

if TYPE_CHECKING:
    from jim.crypto.suite import DeviceAccount

T = TypeVar("T", bound=Struct)

PATIENCE_S = 20.0
"""Longest wait for anything: only a fault reaches it."""


@dataclass
class Person:
    """An account's first device with its keys; one with an Olm account can be sealed for."""

    name: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    recovery: SigningKey = field(default_factory=SigningKey.generate)
    olm: DeviceAccount | None = None
    genesis: m.Link = field(init=False)
    head: bytes = field(init=False)

    def __post_init__(self) -> None:
        keys = self.olm.keys if self.olm else NO_KEYS
        self.genesis = links.make_genesis(self.name, self.key, self.recovery.public, 1_000, keys)
        self.head = link_hash(self.genesis)

    @classmethod
    def keyed(cls, name: str) -> Person:
        return cls(name, olm=Olm().new_account())

    def another(self, *, keys: bool = True) -> Person:
        """Make a further device of the account; `head` has to become that of its link."""
        olm = Olm().new_account() if keys else None
        other = Person(self.name, recovery=self.recovery, olm=olm)
        other.genesis, other.head = self.genesis, self.head
        return other

    def sign_key(self, number: int) -> m.PublicKey:
        """Make a one-time key."""
        assert self.olm is not None
        [key] = self.olm.new_one_time_keys(1)
        return sign_key(self.olm, self.device, number, key)

    @functools.cached_property
    def fallback(self) -> m.PublicKey | UnsetType:
        """The first fallback key, of a device with keys."""
        if self.olm is None:
            return UNSET
        return sign_key(self.olm, self.device, 0, self.olm.new_fallback_key())

    @property
    def device(self) -> str:
        return device_id(self.key.public)


class Gone(Exception):
    """The server has closed the connection."""


class Wire:
    """One connection. Everything that comes is put into `seen`, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.seen: list[Struct] = []
        self.exchange: Exchange | None = None
        self.challenge: m.Challenge | None = None
        self._decoder = Decoder(FROM_SERVER, 4 << 20)
        self._waiting: list[Struct] = []
        self._ids = itertools.count(1)

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1", **options: Any) -> Wire:
        """Connect to a port, or over the connected `sock` among the options."""
        if "sock" not in options:
            options |= {"host": host, "port": port}
        options |= {"ssl": tls.pinning_context(), "server_hostname": host}
        return cls(*await asyncio.open_connection(**options))

    def next_id(self) -> int:
        return next(self._ids)

    # --- frames ---------------------------------------------------------------------------------

    def send(self, *messages: Struct) -> None:
        self.send_raw(b"".join(encode(message) for message in messages))

    def send_raw(self, data: bytes) -> None:
        self.writer.write(data)

    async def receive(self) -> Any:
        """Give the next message; `Gone` at the end of the stream."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._waiting:
                try:
                    data = await self.reader.read(1 << 16)
                except (ConnectionError, OSError):
                    data = b""
                if not data:
                    raise Gone
                for item in self._decoder.feed(data):
                    assert not isinstance(item, Invalid), item.error
                    self._waiting.append(item)
        message = self._waiting.pop(0)
        self.seen.append(message)
        return message

    async def expect(self, kind: type[T]) -> T:
        """Give the next message of a kind, passing over others."""
        while True:
            message = await self.receive()
            if isinstance(message, kind):
                return message

    async def error(self) -> m.ErrorReply:
        return await self.expect(m.ErrorReply)

    async def ended(self) -> list[Any]:
        """Read to the end of the stream; gives all messages since then."""
        rest: list[Any] = []
        try:
            while True:
                rest.append(await self.receive())
        except Gone:
            return rest

    async def ended_or(self, kind: type[T]) -> T | None:
        """Give the next message of a kind, None if the stream ends before."""
        try:
            return await self.expect(kind)
        except Gone:
            return None

    def fall_asleep(self) -> None:
        """Read nothing more from the socket; what is buffered here is still given out."""
        transport: Any = self.writer.transport
        transport.pause_reading()

    def wake_up(self) -> None:
        transport: Any = self.writer.transport
        transport.resume_reading()

    def close(self) -> None:
        """Hang up at once: a polite end of TLS might outlive the test's event loop."""
        self.writer.transport.abort()

    # --- logins -----------------------------------------------------------------------------------

    async def greet(self) -> Exchange:
        cnonce = handshake.new_nonce()
        self.send(m.Hello(id=self.next_id(), v=1, cnonce=cnonce))
        self.challenge = challenge = await self.expect(m.Challenge)
        shown: Any = self.writer.get_extra_info("ssl_object")
        self.exchange = handshake.check_challenge(
            tls_spki=tls.peer_spki(shown),
            cnonce=cnonce,
            server_id=challenge.server_id,
            spki=challenge.spki,
            snonce=challenge.snonce,
            terms=challenge.terms,
            sig=challenge.sig,
            pinned=None,
        )
        return self.exchange

    async def register(self, person: Person, invite: str | None = None) -> m.Welcome:
        self.send(self.registration(await self.greet(), person, invite))
        return await self.welcome()

    def registration(
        self, exchange: Exchange, person: Person, invite: str | None = None
    ) -> m.Register:
        sig = handshake.prove_register(
            person.key, exchange, name=person.name, genesis=person.genesis
        )
        return m.Register(
            id=self.next_id(),
            name=person.name,
            genesis=person.genesis,
            sig=sig,
            invite=UNSET if invite is None else invite,
            fallback=person.fallback,
        )

    async def login(self, person: Person, counter: int = 0) -> m.Welcome:
        self.send(self.auth(await self.greet(), person, counter))
        return await self.welcome()

    def auth(self, exchange: Exchange, person: Person, counter: int = 0) -> m.Auth:
        sig = handshake.prove_auth(
            person.key, exchange, name=person.name, head=person.head, counter=counter
        )
        return m.Auth(
            id=self.next_id(),
            name=person.name,
            device=person.device,
            head=person.head,
            counter=counter,
            sig=sig,
        )

    async def welcome(self) -> m.Welcome:
        message = await self.receive()
        assert isinstance(message, m.Welcome), message
        return message

    async def recover(self, person: Person) -> m.Chain:
        sig = handshake.prove_recover(person.recovery, await self.greet(), name=person.name)
        self.send(m.Recover(id=self.next_id(), name=person.name, sig=sig))
        return await self.expect(m.Chain)

    def enrolment(self, person: Person, link: m.Link) -> m.Enroll:
        """Ask for a new device to be added with a link, after `recover`."""
        assert self.exchange is not None
        sig = handshake.prove_enroll(person.key, self.exchange, name=person.name, link=link)
        return m.Enroll(
            id=self.next_id(), name=person.name, link=link, sig=sig, fallback=person.fallback
        )

    # --- after the login --------------------------------------------------------------------------

    async def extend(self, link: m.Link, person: Person | None = None) -> m.Extended:
        """Append a link to the own chain, of a new device or without one."""
        fallback = person.fallback if person else UNSET
        self.send(m.Extend(id=self.next_id(), link=link, fallback=fallback))
        return await self.expect(m.Extended)

    def seal(self, n: int, to: str, *people: Person, only: bool = False) -> None:
        """Send a message that is sealed for these devices; the ciphertext tells for which."""
        sealed = {each.device: f"1m{n}/{each.device}" for each in people}
        self.send(m.Msg(id=self.next_id(), n=n, to=to, ciphertexts=sealed, only=only))

    async def sync(self, after: int = 0) -> m.Ok:
        self.send(m.Sync(id=self.next_id(), after=after))
        return await self.expect(m.Ok)

    def post(self, n: int, to: str, text: str) -> None:
        self.send(m.Msg(id=self.next_id(), n=n, to=to, message=text))

    async def say(self, n: int, to: str, text: str) -> m.Stored:
        self.post(n, to, text)
        return await self.expect(m.Stored)

    def ack(self, position: int) -> None:
        self.send(m.Ack(position=position))
