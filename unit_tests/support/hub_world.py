# long module: one simulated world, its parts know each other
"""A world around the hub: devices, connections, a store and an edge, put in any order by a seed.

Everything that takes time in a real server is a step of its own here: a commit, a page read from
the store, its answer, a frame on its way in either direction, a login. Devices and the store
survive a crash, everything else is lost with it. Nothing here reads a clock or waits.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from jim.bus.local import LocalBus
from jim.core.hub import Hub
from jim.errors import JimError
from jim.protocol import messages as m
from jim.protocol.codec import FROM_SERVER, Decoder
from jim.protocol.replies import error_reply
from jim.storage.memory import MemoryStore
from unit_tests.support.accounts import NOW_MS, add_account

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jim.core.limits import Limits
    from jim.core.link import Link
    from jim.core.model import Committed, Identity, Segment
    from jim.core.ports import Event

T = TypeVar("T")

STRANGERS = ("stranger", "not a name")
"""One that the store does not know, and one that does not even come so far."""


def finish(call: Coroutine[Any, Any, T]) -> T:
    """Run a call of the memory store, which never waits."""
    try:
        call.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("the memory store has waited")


@dataclass
class Device:
    """A client's device: what it keeps on its disk, and the connection that it has now."""

    identity: Identity
    written: int = 0
    outbox: list[tuple[str, str]] = field(default_factory=list)
    """Addressee and text; their numbers follow those of what is stored."""
    stored: dict[str, int] = field(default_factory=dict)
    """Text to the sequence that the server has told."""
    failed: set[str] = field(default_factory=set)
    cursor: int = 0
    shown: list[m.Delivery] = field(default_factory=list)
    notices: int = 0
    wire: Wire | None = None
    sent: int = 0
    """Messages of the outbox that are on their way on this connection."""


class Wire:
    """One connection: two queues, and the server's end of it (an `Outlet`)."""

    def __init__(self, world: World, device: Device) -> None:
        self.world = world
        self.device = device
        self.server = world.server
        self.up: deque[m.Msg | m.Ack | m.Sync] = deque()
        self.down: deque[Any] = deque()
        self.open = True
        self.closing = False
        self.welcomed = False
        self.paused = False
        self.awaited: dict[int, str] = {}
        """Request to text, of the replies that the client waits for."""
        self.requests = 0
        self.rewinding = False
        self.link: Link | None = None
        self.catching_up = False
        self._decoder = Decoder(FROM_SERVER, 1 << 20)
        self.began_s = 0.0

    def send(self, data: bytes) -> None:
        if self.open and not self.closing:
            self.down.extend(self._decoder.feed(data))

    send_along = send

    def close(self, error: JimError) -> None:
        if not self.closing:
            self.closing = True
            self.down.append(error)

    def catch_up(self) -> None:
        if not self.catching_up and not self.closing:
            self.catching_up = True
            self.server.read_page(self)

    def fail(self, error: Exception) -> None:
        raise SystemExit from error  # passes everything that contains errors

    def cut(self) -> None:
        """Lose the connection with everything that is under way."""
        if self.open:
            self.open = False
            self.closing = True
            self.device.wire = None
            self.server.gone(self)


class LossyBus(LocalBus):
    """Drops events now and then, and says so afterwards, as the port allows."""

    def __init__(self, rng: random.Random, chance: float) -> None:
        super().__init__()
        self._rng = rng
        self._chance = chance
        self._lost: dict[int, list[Callable[[], None]]] = {}
        self.gaps: set[int] = set()

    def subscribe(
        self, account_id: int, receive: Callable[[Event], None], lost: Callable[[], None]
    ) -> Callable[[], None]:
        self._lost.setdefault(account_id, []).append(lost)
        end = super().subscribe(account_id, receive, lost)

        def unsubscribe() -> None:
            self._lost[account_id].remove(lost)
            end()

        return unsubscribe

    def publish(self, account_id: int, event: Event) -> None:
        if self._rng.random() < self._chance:
            self.gaps.add(account_id)
        else:
            super().publish(account_id, event)

    def report(self) -> None:
        """Tell the subscribers of one account that something was lost."""
        account_id = min(self.gaps)
        self.gaps.remove(account_id)
        for lost in list(self._lost.get(account_id, [])):
            lost()


class Server:
    """The volatile part of a node: the hub and what the edge has under way."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bus = LossyBus(world.rng, world.loss)
        self.hub = Hub(self.bus, world.limits, world.now_ms)
        self.writer: deque[Callable[[], Callable[[], None]]] = deque()
        self.answers: deque[Callable[[], None]] = deque()
        self.soon: list[Callable[[], None]] = []
        """What may happen in any order: reads, pages, the end of a login."""
        self.logging_in: set[int] = set()
        self.committing = False

    def steps(self) -> list[Callable[[], None]]:
        """Give everything that could happen next."""
        found: list[Callable[[], None]]
        found = [partial(self.do_soon, index) for index in range(len(self.soon))]
        if self.writer:
            found.append(self.write)
        if self.answers:
            found.append(self.answer)
        if not self.committing and (self.hub._waiting or self.hub._acks):
            found.append(self.commit)
        if self.bus.gaps:
            found.append(self.bus.report)
        return found

    def do_soon(self, index: int) -> None:
        self.soon.pop(index)()

    def write(self) -> None:
        """Let the writer's thread do its next call; the loop hears of it later."""
        self.answers.append(self.writer.popleft()())

    def answer(self) -> None:
        self.answers.popleft()()

    def commit(self) -> None:
        batch = self.hub.take()
        assert batch is not None
        self.committing = True
        now_ms = self.world.now_ms()

        def write() -> Callable[[], None]:
            committed = finish(self.world.store.commit(batch, now_ms))
            self.world.remember(committed)
            return lambda: self.done(committed)

        self.writer.append(write)

    def done(self, committed: Committed) -> None:
        self.committing = False
        self.hub.committed(committed)

    def log_in(self, wire: Wire) -> None:
        """Go the way of a login; two of one device come one after the other."""
        if wire.closing:
            return
        me = wire.device.identity
        if me.device_id in self.logging_in:
            self.soon.append(lambda: self.log_in(wire))
            return
        self.logging_in.add(me.device_id)
        self.hub.evict(me.account_id, me.device_id)

        def stand() -> Callable[[], None]:
            standing = finish(self.world.store.standing(me.device_id))
            # The answer may come late: other commits are published before it.
            return lambda: self.soon.append(lambda: attach(standing))

        def attach(standing: Any) -> None:
            self.logging_in.remove(me.device_id)
            if not wire.closing:
                contacts = finish(self.world.store.visible_to(me.account_id))
                audience = [contact.account_id for contact in contacts]
                wire.link = self.hub.attach(wire, me, standing, audience)
                wire.down.append(standing)

        self.writer.append(stand)

    def gone(self, wire: Wire) -> None:
        if wire.link is not None:
            self.hub.detach(wire.link)

    def receive(self, wire: Wire, frame: m.Msg | m.Ack | m.Sync) -> None:
        assert wire.link is not None
        if wire.closing:
            return
        if isinstance(frame, m.Msg):
            for _, error in self.hub.submit(wire.link, [frame]):
                wire.down.append(error_reply(error, 0, frame.id))
        elif isinstance(frame, m.Ack):
            self.hub.acknowledge(wire.link, frame.position)
        else:
            self.hub.sync(wire.link, frame.after)

    def read_page(self, wire: Wire) -> None:
        """Read in one step, hand over in another, as the task of a real session does."""
        assert wire.link is not None
        link = wire.link
        sent, target = link.sent, link.target

        def read() -> None:
            device_id = link.identity.device_id
            limit_bytes = self.world.limits.page_bytes
            segments = finish(self.world.store.load_after(device_id, sent, limit_bytes))
            self.soon.append(lambda: deliver(segments))

        def deliver(segments: list[Segment]) -> None:
            if wire.closing:
                wire.catching_up = False
            elif wire.paused:
                self.soon.append(lambda: deliver(segments))
            else:
                overtaken = link.sent != sent or (not segments and link.target != target)
                if overtaken or self.hub.loaded(link, segments):
                    self.read_page(wire)
                else:
                    wire.catching_up = False

        self.soon.append(read)


class World:
    """Everything, and the one source of chance."""

    def __init__(self, seed: int, limits: Limits, *, loss: float, devices: dict[str, int]) -> None:
        self.rng = random.Random(seed)
        self.limits = limits
        self.loss = loss
        self._now_ms = NOW_MS
        self.store = MemoryStore(limits)
        self.names = list(devices)
        self.devices = [
            Device(identity)
            for name, count in devices.items()
            for identity in finish(add_account(self.store, name, count))
        ]
        self.mailboxes: dict[int, list[bytes]] = {d.identity.device_id: [] for d in self.devices}
        self.server = Server(self)
        self.faults: dict[str, int] = {}

    def now_ms(self) -> int:
        self._now_ms += 1
        return self._now_ms

    def remember(self, committed: Committed) -> None:
        """Note what the store has really put into each mailbox."""
        for segment in committed.segments:
            box = self.mailboxes[segment.device_id]
            assert segment.first == len(box) + 1
            box += segment.frames.splitlines()

    # --- devices ----------------------------------------------------------------------------------

    def write(self, device: Device) -> None:
        """Put a new message into the outbox, and on its way if there is a connection."""
        device.written += 1
        to = self.rng.choice([*self.names, *STRANGERS])
        device.outbox.append((to, f"{device.identity.device} {device.written}"))
        self.send_more(device)

    def send_more(self, device: Device) -> None:
        """Transmit what the window allows; after a refusal only once every answer has come."""
        wire = device.wire
        if wire is None or not wire.welcomed:
            return
        if wire.rewinding and not wire.awaited:
            wire.rewinding, device.sent = False, 0
        while (
            not wire.rewinding
            and device.sent < len(device.outbox)
            and len(wire.awaited) < self.limits.window
        ):
            to, text = device.outbox[device.sent]
            device.sent += 1
            n = len(device.stored) + device.sent
            wire.requests += 1
            wire.awaited[wire.requests] = text
            wire.up.append(m.Msg(id=wire.requests, n=n, to=to, message=text))

    def connect(self, device: Device) -> None:
        """Open a connection; the server may still believe in the one before it."""
        device.wire = wire = Wire(self, device)
        device.sent = 0
        self.server.log_in(wire)

    def hear(self, wire: Wire) -> None:
        """Let the device read one frame."""
        frame = wire.down.popleft()
        device = wire.device
        if isinstance(frame, m.Delivery | m.Notice):
            self.show(device, wire, frame)
        elif isinstance(frame, m.Stored | m.ErrorReply):
            assert isinstance(frame.id, int)
            text = wire.awaited.pop(frame.id)
            if isinstance(frame, m.Stored):
                self.settle(device, text, frame.seq)
            else:
                self.mend(device, text, frame.code)
            self.send_more(device)
        elif isinstance(frame, JimError):
            wire.cut()
        elif not isinstance(frame, m.Delivered | m.PresenceChange):
            self.welcome(device, wire, frame.last_n)

    def welcome(self, device: Device, wire: Wire, last_n: int) -> None:
        assert last_n >= len(device.stored)
        while last_n > len(device.stored):
            self.settle(device, device.outbox[0][1], 0)
        device.sent = 0
        wire.welcomed = True
        wire.up.append(m.Sync(id=0, after=device.cursor))
        self.send_more(device)

    def settle(self, device: Device, text: str, seq: int) -> None:
        """Note the first message of the outbox as stored: answers to messages come in order."""
        _, first = device.outbox.pop(0)
        assert first == text
        device.stored[text] = seq
        device.sent -= 1

    def mend(self, device: Device, text: str, code: str) -> None:
        """Drop what was refused for good; everything behind it moves up by a number."""
        assert code in {"number_gap", "recipient_unknown", "mailbox_full"}
        assert device.wire is not None
        device.wire.rewinding = True
        if code != "number_gap":
            device.failed.add(text)
            device.outbox = [each for each in device.outbox if each[1] != text]

    def show(self, device: Device, wire: Wire, frame: m.Delivery | m.Notice) -> None:
        if frame.position <= device.cursor:
            return
        if frame.position > device.cursor + 1:
            wire.up.append(m.Sync(id=0, after=device.cursor))
            return
        device.cursor = frame.position
        if isinstance(frame, m.Delivery):
            device.shown.append(frame)
        else:
            device.notices += 1
        if self.rng.random() < 0.4:
            wire.up.append(m.Ack(position=device.cursor))

    # --- what happens -----------------------------------------------------------------------------

    def steps(self) -> list[Callable[[], None]]:
        """Give everything that could happen next without a fault."""
        found = self.server.steps()
        for wire in self.wires:
            if wire.up:
                found.append(partial(self.arrive, wire))
            if wire.down:
                found.append(partial(self.hear, wire))
        return found

    def arrive(self, wire: Wire) -> None:
        """Let the server read one frame."""
        self.server.receive(wire, wire.up.popleft())

    @property
    def wires(self) -> list[Wire]:
        return [device.wire for device in self.devices if device.wire is not None]

    def fault(self) -> None:
        """Let something go wrong."""
        kinds = {"cut": 6, "reconnect": 6, "pause": 6, "resume": 6, "server": 1}
        [kind] = self.rng.choices(list(kinds), list(kinds.values()))
        self.faults[kind] = self.faults.get(kind, 0) + 1
        device = self.rng.choice(self.devices)
        if kind == "server":
            self.crash()
        elif kind == "reconnect":
            self.connect(device)  # the server still believes in the old connection
        elif device.wire is not None and kind == "cut":
            device.wire.cut()
        elif device.wire is not None and device.wire.link is not None:
            self.press(device.wire, device.wire.link, paused=kind == "pause")

    def press(self, wire: Wire, link: Link, *, paused: bool) -> None:
        if wire.paused != paused and not wire.closing:
            wire.paused = paused
            if paused:
                self.server.hub.pause(link)
            else:
                self.server.hub.resume(link)

    def crash(self) -> None:
        """Lose the server, its queue before the disk, and every connection."""
        for wire in self.wires:
            wire.open, wire.closing = False, True
            wire.device.wire = None
        self.server = Server(self)

    def heal(self) -> None:
        """Connect everybody, resume everybody, and let everything come to its end."""
        self.loss = self.server.bus._chance = 0
        for device in self.devices:
            if device.wire is None or device.wire.closing:
                self.connect(device)
            elif device.wire.paused and device.wire.link is not None:
                self.press(device.wire, device.wire.link, paused=False)
        for _ in range(200_000):
            steps = self.steps()
            if steps:
                self.rng.choice(steps)()
                continue
            # A login that came late may have replaced a newer connection: that one comes again.
            alone = [device for device in self.devices if device.wire is None]
            if not alone:
                return
            self.connect(alone[0])
        raise AssertionError("it never comes to rest")

    def live(self, turns: int) -> None:
        """Let so many things happen, at random."""
        for _ in range(turns):
            chance = self.rng.random()
            steps = self.steps()
            if chance < 0.04:
                self.fault()
            elif chance < 0.12 or not steps:
                device = self.rng.choice(self.devices)
                if device.wire is None:
                    self.connect(device)
                else:
                    self.write(device)
            else:
                self.rng.choice(steps)()
