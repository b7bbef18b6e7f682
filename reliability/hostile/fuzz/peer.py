"""The clients of the session target: transports without a network, and peers that check answers."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jim.crypto import handshake, links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.transcript import Exchange
from jim.errors import WIRE_ERRORS
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Decoder, Invalid, encode
from reliability.hostile.fuzz.choices import Choices, hold

if TYPE_CHECKING:
    from jim.server.connection import Connection
    from reliability.hostile.fuzz.session import World

NONCE: Final = bytes(32)
SPKI: Final = bytes(range(32))
NO_REPLY: Final = (m.Ack, m.Pong, m.Proof)
MARK: Final = "\u2713"
"""Begins the ids of those requests whose replies are counted: nothing else can begin so."""

ACCOUNTS: Final = ("alice", "bob", "carol")
"""The first two are registered, the third has to do it."""


class Person(NamedTuple):
    """The keys of an account, always the same."""

    name: str
    key: SigningKey
    recovery: SigningKey
    genesis: m.Link
    head: bytes


@cache
def person(name: str) -> Person:
    """Give the person of that name."""
    key, recovery = (SigningKey((name + kind).encode().ljust(32)) for kind in ("key", "recovery"))
    genesis = links.make_genesis(name, key, recovery.public, 1_000)
    return Person(name, key, recovery, genesis, verify_chain([genesis], name).head)


class Transport:
    """Hands what a connection writes to its peer, or keeps it while that does not read."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.protocol: Connection
        self.is_closing = self.is_over = self.is_held = self.is_stuck = False
        self._world = world
        self._peer = peer
        self._kept = b""
        self._coming: deque[bytes] = deque()
        self._high = 0
        self._told = False

    def set_write_buffer_limits(self, high: int) -> None:
        """Take the size from which on the protocol hears of it."""
        self._high = high

    def get_write_buffer_size(self) -> int:
        """Give what the peer has not read."""
        return len(self._kept)

    def write(self, data: bytes) -> None:
        """Take frames of the server."""
        hold(not self.is_over, "written after the end")
        if not self.is_stuck:
            self._peer.hear(data)
            return
        self._kept += data
        if len(self._kept) > self._high and not self._told:
            self._told = True
            self.protocol.pause_writing()

    def read_again(self) -> None:
        """Let the peer read everything."""
        self.is_stuck = False
        kept, self._kept = self._kept, b""
        self._peer.hear(kept)
        if self._told:
            self._told = False
            self.protocol.resume_writing()
        if self.is_closing:
            self._world.loop.call_soon(self.lose)

    def pause_reading(self) -> None:
        """Deliver nothing more."""
        self.is_held = True

    def resume_reading(self) -> None:
        """Deliver again."""
        self.is_held = False
        self._world.loop.call_soon(self._deliver)

    def come(self, data: bytes) -> None:
        """Take bytes of the peer; they arrive in the next turn of the loop."""
        self._coming.append(data)
        self._world.loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        while self._coming and not self.is_held and not self.is_closing and not self.is_over:
            self.protocol.data_received(self._coming.popleft())

    def close(self) -> None:
        """Close once everything is written."""
        self.is_closing = True
        if not self._kept:
            self._world.loop.call_soon(self.lose)

    def abort(self) -> None:
        """Close at once."""
        self.is_closing = True
        self._world.loop.call_soon(self.lose)

    def lose(self) -> None:
        """End the connection."""
        if not self.is_over:
            self.is_over = self.is_closing = True
            self.protocol.connection_lost(None)


class Peer:
    """One client: what it knows of its session, and what it is still owed."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.person = person(name)
        self.device_key = self.person.key
        self.transport: Transport | None = None
        self.requests = 0
        self.forget()

    def forget(self) -> None:
        """Begin a connection knowing nothing."""
        self.challenge: m.Challenge | None = None
        self.chain: m.Chain | None = None
        self.is_active = self.is_ending = False
        self.device_id = ""
        self.next_n = 1
        self.position: int | None = None
        self.owed: dict[str, int] = {}
        self._decoder = Decoder(FROM_SERVER, 1 << 26)

    def request_id(self) -> str:
        """Make an id whose replies are counted."""
        self.requests += 1
        return f"{MARK}{self.requests}"

    # --- to the server ----------------------------------------------------------------------------

    def connect(self) -> Transport:
        """Open a connection, unless there is one."""
        if self.transport is not None and not self.transport.is_closing:
            return self.transport
        if self.transport is not None:
            self.transport.lose()
        self.forget()
        self.transport = self.world.accept(self)
        return self.transport

    def send(self, *messages: Any) -> None:
        """Send well-formed messages in one piece, each owed its one reply."""
        transport = self.connect()
        for message in messages:
            if not isinstance(message, NO_REPLY):
                self.owed[message.id] = 0
        transport.come(b"".join(map(encode, messages)))

    def next_step(self, choices: Choices) -> Any:
        """Give what an honest client says next; which way it logs in is a choice."""
        request_id = self.request_id()
        if self.is_active:
            return self._talk(choices, request_id)
        if self.chain is not None and self.challenge is not None and self.chain.links:
            return self._enroll(request_id, self.chain.links)
        if self.challenge is None:
            return m.Hello(id=request_id, v=1, cnonce=NONCE)
        exchange = self._exchange(self.challenge)
        kind = choices.byte() % 4
        self.challenge = None if kind < 3 else self.challenge
        me, name = self.person, self.person.name
        if kind == 3:
            return m.Recover(
                id=request_id,
                name=name,
                sig=handshake.prove_recover(me.recovery, exchange, name=name),
            )
        if kind == 2 or name == ACCOUNTS[2]:
            sig = handshake.prove_register(me.key, exchange, name=name, genesis=me.genesis)
            return m.Register(id=request_id, name=name, genesis=me.genesis, sig=sig)
        sig = handshake.prove_auth(me.key, exchange, name=name, head=me.head, counter=0)
        device = device_id(me.key.public)
        return m.Auth(id=request_id, name=name, device=device, head=me.head, counter=0, sig=sig)

    def _exchange(self, challenge: m.Challenge) -> Exchange:
        return Exchange(challenge.server_id, challenge.spki, NONCE, challenge.snonce)

    def _enroll(self, request_id: str, shown: list[m.Link]) -> m.Enroll:
        hold(self.challenge is not None, "a chain without a challenge")
        exchange = self._exchange(self.challenge)  # type: ignore[arg-type]
        name = self.person.name
        state = verify_chain(shown, name)
        key = SigningKey(f"{name}{state.seq + 1}".encode().ljust(32))
        link = links.make_add(state, key, self.person.recovery, 2_000 + state.seq)
        self.chain = self.challenge = None
        sig = handshake.prove_enroll(key, exchange, name=name, link=link)
        return m.Enroll(id=request_id, name=name, link=link, sig=sig)

    def _talk(self, choices: Choices, request_id: str) -> Any:
        kind = choices.byte() % 8
        if kind == 0:
            return m.Sync(id=request_id, after=self.position or 0)
        if kind == 1:
            return m.Ack(position=self.position or 0)
        if kind == 2:
            return m.Receipts(id=request_id, names=list(ACCOUNTS))
        if kind == 3:
            return m.Presence(id=request_id, watch=True)
        to, n = choices.pick(ACCOUNTS), self.next_n
        self.next_n += 1
        return m.Msg(id=request_id, n=n, to=to, message=f"{self.person.name} says {n}")

    # --- from the server --------------------------------------------------------------------------

    def hear(self, data: bytes) -> None:
        """Take frames of the server, and check each."""
        for item in self._decoder.feed(data):
            hold(not isinstance(item, Invalid), f"the server sent no message: {data[:200]!r}")
            hold(not self.is_ending, "a frame after the last one")
            self._hear_one(item)

    def _hear_one(self, item: Any) -> None:
        if isinstance(item, (m.Delivery, m.Notice)):
            self._hear_mailbox(item)
            return
        if isinstance(item, m.ErrorReply):
            hold(item.code in WIRE_ERRORS and item.code != "internal", f"the error {item.code}")
            self.is_ending = item.fatal
            self._renumber(item)
        elif isinstance(item, m.Goodbye):
            hold(item.code in WIRE_ERRORS or item.code == "quit", f"the goodbye {item.code}")
            self.is_ending = True
        elif isinstance(item, m.Stored):
            self.world.remember(self, item)
        else:
            self._hear_step(item)
        if not isinstance(item, m.Probe) and getattr(item, "id", None) in self.owed:
            self.owed[item.id] += 1
            hold(self.owed[item.id] == 1, f"two replies to {item.id}")

    def _renumber(self, error: m.ErrorReply) -> None:
        """Go on as a client does after a refusal: with the number that is still free."""
        if isinstance(error.expected, int) and error.code == "number_gap":
            self.next_n = error.expected
        elif self.is_active and isinstance(error.n, int):
            self.next_n = min(self.next_n, error.n)
        if not self.is_active:
            self.challenge = self.chain = None

    def _hear_step(self, item: Any) -> None:
        if isinstance(item, m.Challenge):
            self.challenge = item
        elif isinstance(item, m.Chain) and not self.is_active:
            self.chain = item
        elif isinstance(item, m.Welcome):
            hold(item.name == self.person.name, "welcomed as somebody else")
            self.is_active = True
            self.device_id = item.device
            self.next_n = item.last_n + 1
        elif isinstance(item, m.Ok):
            self.position = None

    def _hear_mailbox(self, item: m.Delivery | m.Notice) -> None:
        expected = item.position if self.position is None else self.position + 1
        hold(item.position == expected, f"position {item.position} instead of {expected}")
        self.position = item.position
        if isinstance(item, m.Delivery):
            name = self.person.name
            hold(name in (item.to, item.sender), f"for {item.to} of {item.sender} to {name}")
