"""Fuzz the server's sessions: the real `Connection`, `Login`, `Active`, handlers and hub.

Only what is outside of them is replaced: the transport by lists, the store by the one in memory,
the clock by a number. Three peers do what the bytes say: log in honestly, send messages of every
kind in every state, spoil frames, read slowly, vanish. Checked: nothing unforeseen is raised or
logged; every state is of the table; every frame of the server is a message, every error a defined
one; every request gets exactly one reply; deliveries are for the account and gapless; the answer to
a number never changes.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jim.bus.local import LocalBus
from jim.core.limits import Limits
from jim.core.model import Registration
from jim.crypto.tls import ServerTls
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.protocol.session import TRANSITIONS
from jim.server.connection import Connection, Visitor
from jim.server.liveness import Liveness
from jim.server.login import Login
from jim.server.service import Service
from jim.server.settings import Settings
from jim.storage.memory import MemoryStore
from reliability.hostile.fuzz.choices import Broken, Choices, hold
from reliability.hostile.fuzz.frames import make_message, spoil
from reliability.hostile.fuzz.loop import VirtualLoop
from reliability.hostile.fuzz.peer import ACCOUNTS, NO_REPLY, SPKI, Peer, Transport, person

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jim.core.admission import Ticket

SETTLING_TURNS: Final = 20
"""Of the loop, until everything that a run has begun has come to its end: the longest chain, a
login behind a commit, takes about 12."""

SPOILED_IDS: Final[tuple[int | str, ...]] = (0, 1, "a", "b" * 64)

LIMITS: Final = (
    Limits(messages_per_s=0, bytes_per_s=0),
    Limits(window=2, text_bytes=100, outgoing_bytes=2048, page_bytes=256, malformed_frames=4),
    Limits(waiting_messages=3, message_burst=2, messages_per_s=1, login_frames=8, devices=2),
)
"""As delivered but for the pace; and twice so small that a short input reaches them."""


class _Log(logging.Handler):
    """Keeps what the server logs as an error: an incident, or a subscriber that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.faults.append(logging.Formatter().format(record))


_log = _Log()


@cache
def _loop() -> VirtualLoop:
    return VirtualLoop()


class World:
    """A server and its three peers, for one run."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.loop = _loop()
        self.settings = Settings(port=0, limits=choices.pick(LIMITS))
        self.store = MemoryStore(self.settings.limits)
        self.known: dict[tuple[str, str, int], int] = {}
        self.service: Service = self.loop.finish(self._begin())
        self.peers = [Peer(self, name) for name in ACCOUNTS]
        self.steps: Sequence[Callable[[Peer], None]] = (
            self.go_on,
            self.say,
            self.spoiled,
            self.turn,
            self.burst,
            self.split,
            self.raw,
            self.vanish,
            self.stick,
            self.wait,
        )

    async def _begin(self) -> Service:
        for name in ACCOUNTS[:2]:
            me = person(name)
            await self.store.register(Registration(name, name, me.genesis, me.head, None), 1_000)
        tls = ServerTls(None, SPKI)  # type: ignore[arg-type] # nothing here comes through the door
        service = Service(self.settings, person("server").key, tls, self.store, LocalBus())
        self._liveness = Liveness(service.node)
        return service

    # --- the edge ---------------------------------------------------------------------------------

    def accept(self, peer: Peer) -> Transport:
        """Let a peer in, behind its TLS handshake."""
        node = self.service.node
        ticket: Ticket = node.admission.admit("127.0.0.1", self.loop.time())
        visitor = Visitor("127.0.0.1:1", ticket, SPKI, self.loop.time())
        transport = Transport(self, peer)
        transport.protocol = Connection(node, visitor, Login)
        transport.protocol.connection_made(transport)  # type: ignore[arg-type] # the part that is used
        return transport

    def remember(self, peer: Peer, stored: m.Stored) -> None:
        """Hold an answer against the one that the device got for the number before."""
        key = (peer.person.name, peer.device_id, stored.n)
        before = self.known.setdefault(key, stored.seq)
        hold(before == stored.seq, f"{key}: first {before}, then {stored.seq}")

    # --- what a peer does -------------------------------------------------------------------------

    def go_on(self, peer: Peer) -> None:
        """Do what an honest client does next, and let the server work."""
        peer.connect()
        peer.send(peer.next_step(self.choices))
        self.loop.turn(2 + self.choices.byte() % 8)

    def log_in(self, peer: Peer) -> None:
        """Log in and ask for the mailbox, without any choice."""
        for _ in range(2):
            peer.connect()
            peer.send(peer.next_step(Choices(b"")))
            self.loop.turn(SETTLING_TURNS)
        hold(peer.is_active, f"{peer.person.name} cannot log in")
        peer.send(m.Sync(id=peer.request_id(), after=0))

    def say(self, peer: Peer) -> None:
        """Say something of any kind."""
        peer.connect()
        peer.send(make_message(self.choices, peer.request_id()))

    def burst(self, peer: Peer) -> None:
        """Say several things in one segment."""
        peer.connect()
        count = 1 + self.choices.byte() % 12
        peer.send(*(make_message(self.choices, peer.request_id()) for _ in range(count)))

    def spoiled(self, peer: Peer) -> None:
        """Say something with a fault in it."""
        message = make_message(self.choices, self.choices.pick(SPOILED_IDS))
        peer.connect().come(spoil(self.choices, message))

    def raw(self, peer: Peer) -> None:
        """Say a few bytes."""
        size = self.choices.byte() % 32
        peer.connect().come(self.choices.take(size) + b"\n")

    def split(self, peer: Peer) -> None:
        """Say something in two segments, with some work of the server in between."""
        transport = peer.connect()
        message: Any = peer.next_step(self.choices)
        if not isinstance(message, NO_REPLY):
            peer.owed[message.id] = 0
        frame = encode(message)
        place = self.choices.byte() * len(frame) // 256
        transport.come(frame[:place])
        self.loop.turn()
        transport.come(frame[place:])

    def turn(self, peer: Peer) -> None:
        """Let the server work."""
        del peer
        self.loop.turn(1 + self.choices.byte() % 8)

    def vanish(self, peer: Peer) -> None:
        """Lose the connection."""
        if peer.transport is not None:
            peer.transport.lose()

    def stick(self, peer: Peer) -> None:
        """Stop reading, or read again."""
        transport = peer.transport
        if transport is None or transport.is_over:
            return
        if transport.is_stuck:
            transport.read_again()
        else:
            transport.is_stuck = True

    def wait(self, peer: Peer) -> None:
        """Let time pass: a moment, a login's time, or until the server probes and gives up."""
        del peer
        self.loop.advance(self.choices.pick((0.1, 1.0, 5.0, 16.0, 60.0, 151.0)))

    # --- always, and at the end -------------------------------------------------------------------

    def check(self) -> None:
        """Hold what can be seen at any moment."""
        faults = [*self.loop.faults, *_log.faults]
        if faults:
            self.loop.faults.clear()
            _log.faults.clear()
            raise Broken("unforeseen: " + "\n".join(faults))
        hold(self.service.failure is None, "the store has failed")
        for connection in self.service.node.connections:
            stage = connection.stage
            hold(
                not isinstance(stage, Login) or stage.state in TRANSITIONS, "no state of the table"
            )

    def settle(self) -> None:
        """Let everything come to its end, and hold the server to its answers."""
        for peer in self.peers:
            if peer.transport is not None and peer.transport.is_stuck:
                peer.transport.read_again()
        self.loop.turn(SETTLING_TURNS)
        self.check()
        for peer in self.peers:
            transport = peer.transport
            if transport is None or transport.is_closing or transport.is_held:
                continue
            missing = [request for request, replies in peer.owed.items() if not replies]
            hold(not missing, f"{peer.person.name} has no answer to {missing}")

    def close(self) -> None:
        """Leave nothing behind for the next run."""
        self._liveness.stop()
        for peer in self.peers:
            if peer.transport is not None:
                peer.transport.lose()
        self.loop.turn(4)
        self.loop.advance(1_000)
        self.loop.turn(4)
        hold(not self.service.node.connections, "a connection that has ended is still known")
        self.check()


def run(content: bytes) -> None:
    """Check one input.

    Raises:
        Broken: a property does not hold.
    """
    logger = logging.getLogger("jim")
    logger.addHandler(_log)
    try:
        _run(World(Choices(content)))
    finally:
        logger.removeHandler(_log)


def _run(world: World) -> None:
    try:
        already = world.choices.byte()
        for place, peer in enumerate(world.peers[:2]):
            if already >> place & 1:
                world.log_in(peer)
        while world.choices.left:
            peer = world.choices.pick(world.peers)
            world.choices.pick(world.steps)(peer)
            world.check()
        world.settle()
    finally:
        world.close()
