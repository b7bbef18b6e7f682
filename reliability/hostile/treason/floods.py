"""Attacks without an end: whatever a client does by itself must have one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import UNSET
from msgspec.structs import replace

from jim.client.events import PresenceChanged
from jim.protocol import messages as m
from reliability.hostile.treason.attack import Attack, demand
from reliability.hostile.treason.scene import present_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliability.hostile.traitor import Session
    from reliability.hostile.treason.scene import Witness

FLOOD: Final = 3_000
"""Pushes of one kind: a hundred times what a client may make of them."""

FEW: Final = 30
"""Requests that a client may make because of all of them."""

LOOK_S: Final = 1.0
"""To watch a client that should be quiet."""

LONG: Final = "x" * 2_000
"""A text that is longer sealed than anything that clients say to each other by themselves."""


class Pushes(Attack):
    """Bob is told the same again and again, and asks for a part of it only."""

    asks: ClassVar[type[Any]]

    def push(self, alice: Witness, number: int) -> Any:
        """Give one of the pushes."""
        raise NotImplementedError

    async def play(self) -> None:
        """Push, while he goes on talking."""
        alice, bob = await self.two()
        session, before = await self.scene.session(bob), len(self.scene.heard(self.asks))
        self.begin()
        for number in range(FLOOD):
            session.push(self.push(alice, number))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await bob.send(alice, "meanwhile")
        await alice.reads("meanwhile")
        await asyncio.sleep(LOOK_S)
        asked = len(self.scene.heard(self.asks)) - before
        demand(asked <= FEW, f"{asked} requests for {FLOOD} pushes")


class DevicesFlood(Pushes):
    """Alice's chain is said to have grown, ever further, and never has."""

    asks = m.ChainRequest

    def push(self, alice: Witness, number: int) -> Any:
        """Say that it has a further link."""
        return m.DevicesChange(name=alice.client.name, chain_seq=number + 1, time=present_ms())


class KeysFlood(Pushes):
    """Bob's one-time keys are said to be used up, at once and always."""

    asks = m.Keys

    def push(self, alice: Witness, number: int) -> Any:
        """Say that there are none."""
        del alice, number
        return m.KeysLeft(one_time_keys=0, time=present_ms())


class CrowdFlood(Pushes):
    """People without end are said to come and go, and alice to have got everything, for ever."""

    asks = m.Receipts

    def push(self, alice: Witness, number: int) -> Any:
        """Say one or the other."""
        name, time = alice.client.name, present_ms()
        if number % 3 == 0:
            return m.Delivered(name=name, seq=number, time=time)
        somebody = f"crowd{number}" if number % 3 == 1 else name
        return m.PresenceChange(name=somebody, online=number % 2 == 0, time=time)

    async def play(self) -> None:
        """Demand that bob's front end hears of a part of it only."""
        await super().play()
        bob = self.scene.witnesses[1]
        told = len(bob.of(PresenceChanged))
        demand(0 < told <= FLOOD // 4, f"told {told} times who came or went")


class LongNames(Attack):
    """Frames of somebody with a name of half a megabyte, whose chain is not shown."""

    async def play(self) -> None:
        """Demand that bob hangs up at the first one: he would hold thousands of them."""
        alice, bob = await self.two()
        session = await self.scene.session(bob)
        frame = m.Delivery(
            position=0,
            seq=1,
            sender="s" * 500_000,
            device="0123456789abcdef",
            n=1,
            to=bob.client.name,
            time=present_ms(),
            ciphertext="1mAAAA",
        )
        session.push(frame)
        await bob.until(lambda: "ConnectFailed protocol" in bob.errors, "the end of patience")
        self.scene.traitor.mailboxes[session.device].forget()
        await alice.send(bob, "meanwhile")
        await bob.reads("meanwhile")


class TooOften(Attack):
    """Whatever bob asks for his first words to alice, he asks too often."""

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Refuse."""
        asks = isinstance(message, (m.ChainRequest, m.Claim))
        if not asks or session.name != self.scene.name_of("bob"):
            return [message]
        session.push(
            m.ErrorReply(
                id=message.id,
                response=403,
                code="too_often",
                error="too often",
                time=present_ms(),
                retry_after_ms=1,
            )
        )
        return []

    async def play(self) -> None:
        """Let him write: he asks now and then, and the text waits."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        self.begin()
        waiting = await bob.write(alice, "first words")
        await asyncio.sleep(LOOK_S)
        asked = len(self.scene.heard(m.ChainRequest)) + len(self.scene.heard(m.Claim))
        demand(0 < asked <= FEW, f"asked {asked} times")
        self.end()
        (await self.scene.session(bob)).cut()
        await bob.client.wait_stored(waiting.message_id, 20)
        await alice.reads("first words")


class RepeatsDropped(Attack):
    """A long text is dropped, and every repetition of it; what asks for it goes through."""

    told: ClassVar = {"alice": {"dropped"}}

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Drop what is long."""
        is_long = isinstance(message, m.Delivery) and len(message.ciphertext or "") > len(LONG)
        return [] if is_long and session.name == self.scene.name_of("alice") else [message]

    async def play(self) -> None:
        """Let alice find out, and both be quiet again soon."""
        alice, bob = await self.two()
        self.begin()
        await bob.send(alice, LONG)
        await bob.send(alice, "short")
        await alice.reads("short")
        await asyncio.sleep(LOOK_S)
        sent = len(self.scene.heard(m.Msg))
        demand(sent <= FEW, f"{sent} messages for two texts")
        self.end()
        await bob.send(alice, "short again")
        await alice.reads("short again", LONG)


class BetweenDevicesDamaged(Attack):
    """Whatever goes to one device alone is damaged: questions, answers, repetitions."""

    told: ClassVar = {"alice": {"undecryptable"}, "bob": {"undecryptable"}}
    _begun = False

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Damage it, and one text to begin with."""
        if not isinstance(message, m.Delivery) or message.ciphertext is UNSET:
            return [message]
        if not message.seq or not self._begun:
            self._begun = True
            return [replace(message, ciphertext=f"1m{'A' * 400}")]
        return [message]

    async def play(self) -> None:
        """Let alice ask, and both be quiet again soon."""
        alice, bob = await self.two()
        self.begin()
        await bob.send(alice, "the first victim")
        await alice.is_told("undecryptable")
        await asyncio.sleep(LOOK_S)
        sent = len(self.scene.heard(m.Msg))
        demand(sent <= FEW, f"{sent} messages for one text")
        self.end()
        await bob.send(alice, "then")
        await alice.reads("then", "the first victim")


class GarbageFlood(Attack):
    """Hundreds of frames that nobody can open, and of devices that nobody has."""

    told: ClassVar = {"alice": {"undecryptable", "unknown_device"}}

    async def play(self) -> None:
        """Demand one notice of each kind, and that alice still talks."""
        alice, bob = await self.two()
        session = await self.scene.session(alice)
        frame = m.Delivery(
            position=0,
            seq=50,
            sender=bob.client.name,
            device=await bob.device(),
            n=50,
            to=alice.client.name,
            time=present_ms(),
            ciphertext=f"1m{'A' * 400}",
        )
        for number in range(300):
            garbage = replace(frame, seq=50 + number, n=50 + number)
            session.push(garbage, replace(garbage, device="0123456789abcdef"))
        await alice.is_told("unknown_device")
        await bob.send(alice, "meanwhile")
        await alice.reads("meanwhile")
        demand(len(alice.told) <= FEW, f"{len(alice.told)} notices for 600 frames")


class HeldFlood(Attack):
    """Message upon message of somebody whose chain is not shown."""

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Swallow the question."""
        is_theirs = session.name == self.scene.name_of("bob")
        return [] if isinstance(message, m.ChainRequest) and is_theirs else [message]

    async def play(self) -> None:
        """Send 64 MB; the client has to hang up before it holds all of them."""
        alice, bob = await self.two()
        session = await self.scene.session(bob)
        self.begin()
        frame = m.Delivery(
            position=0,
            seq=1,
            sender="stranger",
            device="0123456789abcdef",
            n=1,
            to=bob.client.name,
            time=present_ms(),
            message=UNSET,
            ciphertext="1m" + "A" * 64_000,
        )
        connections = bob.connections
        for number in range(1_000):
            if bob.connections > connections or "ConnectFailed protocol" in bob.errors:
                break
            session.push(replace(frame, n=number + 1))
            await asyncio.sleep(0.002)
        await bob.until(lambda: "ConnectFailed protocol" in bob.errors, "the end of patience")
        self.scene.traitor.mailboxes[session.device].forget()
        await alice.send(bob, "meanwhile")
        self.end()
        await bob.reads("meanwhile")


ATTACKS: Final[dict[str, type[Attack]]] = {
    "endless pushes of `devices`": DevicesFlood,
    "endless pushes of `keys_left`": KeysFlood,
    "endless pushes of `presence` and `delivered`": CrowdFlood,
    "names of half a megabyte": LongNames,
    "`too_often` for ever": TooOften,
    "a message and all its repetitions are dropped": RepeatsDropped,
    "everything between devices is damaged": BetweenDevicesDamaged,
    "hundreds of frames that cannot be opened": GarbageFlood,
    "endless messages behind a chain that is not shown": HeldFlood,
}
