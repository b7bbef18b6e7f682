# long module: a catalogue of attacks, one after the other
"""Attacks on device chains, and on who belongs to an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from unittest import mock

from msgspec import UNSET
from msgspec.structs import replace

from jim.client import errands
from jim.client.events import MessageState
from jim.crypto import chain, links
from jim.crypto.device_keys import sign_key
from jim.crypto.keys import SigningKey
from jim.crypto.olm import Olm
from jim.protocol import messages as m
from reliability.hostile.treason.attack import Attack, demand
from reliability.hostile.treason.scene import PATIENCE_S, present_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliability.hostile.traitor import Session


class OnChain(Attack):
    """An attack on alice's chain as bob is shown it."""

    victim = "bob"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.signer = SigningKey.generate()
        self.device = SigningKey.generate()
        self._shown: m.Link | None = None
        self._whole: list[m.Link] = []
        self._asked: dict[object, m.ChainRequest] = {}

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Ask for whole chains, and take out of a message what is for the invented device."""
        if isinstance(message, m.ChainRequest) and self._is_theirs(session, message):
            self._asked[message.id] = message
            return [replace(message, after=UNSET)]
        if isinstance(message, m.Msg) and message.ciphertexts is not UNSET and self._shown:
            kept = {k: v for k, v in message.ciphertexts.items() if k != self._shown.device}
            return [replace(message, ciphertexts=kept)]
        if isinstance(message, m.Claim) and self._shown and self._shown.device in message.devices:
            return self._claim(session, message)
        return [message]

    def _is_theirs(self, session: Session, message: m.ChainRequest) -> bool:
        names = (self.scene.name_of(self.victim), self.scene.name_of("alice"))
        return (session.name, message.name) == names

    def _claim(self, session: Session, message: m.Claim) -> list[Any]:
        """Answer for the invented device, whose keys are here, if it is all that is asked for."""
        key = self.account_key()
        session.push(
            m.Claimed(
                id=message.id, response=200, time=present_ms(), keys={message.devices[0]: key}
            )
        )
        return []

    def account_key(self) -> m.PublicKey:
        """Give a key of the invented device."""
        raise NotImplementedError

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Show another chain."""
        if isinstance(message, m.Chain) and message.id in self._asked:
            asked = self._asked.pop(message.id)
            self._whole = message.links
            shown = self.treat(message.links)
            after = -1 if asked.after is UNSET else asked.after
            return [replace(message, links=[each for each in shown if each.seq > after])]
        return [message]

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Give the whole chain that the victim is shown."""
        raise NotImplementedError

    def added(self, shown: list[m.Link]) -> m.Link:
        """Make a link for a device of the server's own, with whatever key it has to sign."""
        if self._shown is None:
            state = chain.verify_chain(shown, shown[0].acct)
            keys = Olm().new_account().keys
            self._shown = links.make_add(state, self.device, self.signer, present_ms(), keys)
        return self._shown


class StrangersDevice(OnChain):
    """A device is added that a stranger has signed."""

    told: ClassVar = {"bob": {"chain_invalid"}}

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Add it."""
        return [*shown, self.added(shown)]

    async def play(self) -> None:
        """Let bob hear of the device, then write."""
        alice, bob = await self.two()
        self.begin()
        session = await self.scene.session(bob)
        session.push(m.DevicesChange(name=alice.client.name, chain_seq=1, time=present_ms()))
        await bob.is_told("chain_invalid")
        demand(bob.told_of("chain_invalid") == [alice.client.name], "another conversation")
        await bob.send(alice, "for alice's own device")
        await alice.reads("for alice's own device")


class UnsignedDevice(StrangersDevice):
    """A device is added without a signature."""

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Add it with zeros for a signature."""
        return [*shown, replace(self.added(shown), sig=bytes(64))]


class OwnDevice(StrangersDevice):
    """A device of a stranger's is added to the own account, as the own device is shown it."""

    victim = "alice"
    told: ClassVar = {"alice": {"chain_invalid"}}

    async def play(self) -> None:
        """Let alice hear of it; what she writes goes to bob alone."""
        alice, bob = await self.two()
        self.begin()
        session = await self.scene.session(alice)
        session.push(m.DevicesChange(name=alice.client.name, chain_seq=1, time=present_ms()))
        await alice.is_told("chain_invalid")
        demand(alice.told_of("chain_invalid") == [alice.client.name], "another conversation")
        await alice.send(bob, "for bob alone")
        await bob.reads("for bob alone")


class StrangersDeviceAtFirst(OnChain):
    """The same at the first contact: nothing is pinned that could be used instead."""

    told: ClassVar = {"bob": {"chain_invalid"}}

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Add it."""
        return [*shown, self.added(shown)]

    async def play(self) -> None:
        """Let bob write to somebody new."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        self.begin()
        lost = await bob.send(alice, "first words")
        demand(lost.error_code == "chain_invalid", f"failed with {lost.error_code}")


class Substituted(OnChain):
    """A contact's whole chain is exchanged for another valid one."""

    told: ClassVar = {"bob": {"chain_invalid"}}

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Make a new chain of the name, and lengthen it."""
        name, keys = shown[0].acct, Olm().new_account().keys
        start = links.make_genesis(name, self.device, self.signer.public, present_ms(), keys)
        state = chain.verify_chain([start], name)
        return [start, links.make_add(state, SigningKey.generate(), self.signer, present_ms())]

    async def play(self) -> None:
        """Let bob look again at whom he knows."""
        alice, bob = await self.two()
        self.begin()
        session = await self.scene.session(bob)
        session.push(m.DevicesChange(name=alice.client.name, chain_seq=1, time=present_ms()))
        await bob.is_told("chain_invalid")
        await bob.send(alice, "as ever")
        await alice.reads("as ever")


class RolledBack(OnChain):
    """A contact's chain, pinned with two devices, is shown with one again."""

    told: ClassVar = {"alice": {"device_added"}, "bob": {"device_added", "chain_invalid"}}

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Cut the end off."""
        return shown[:1]

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Show the beginning, whatever was asked for."""
        if isinstance(message, m.Chain) and message.id in self._asked:
            del self._asked[message.id]
            return [replace(message, links=self.treat(message.links))]
        return [message]

    async def play(self) -> None:
        """Let bob know both devices, then look again."""
        alice, bob = await self.two()
        second = await self.scene.further(alice)
        await alice.is_told("device_added")
        await bob.is_told("device_added")
        self.begin()
        session = await self.scene.session(bob)
        session.push(m.DevicesChange(name=alice.client.name, chain_seq=2, time=present_ms()))
        await bob.is_told("chain_invalid")
        await bob.send(alice, "for both")
        await alice.reads("for both")
        await second.reads("for both")


class CutOff(OnChain):
    """To somebody new a contact's chain is shown without its last link."""

    victim = "carol"
    told: ClassVar = {
        "alice": {"device_added"},
        "carol": {"forked", "device_added"},
    }

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Cut the end off."""
        return shown[:1]

    async def play(self) -> None:
        """Let carol hear from alice, who knows better."""
        alice = await self.scene.join("alice")
        await self.scene.further(alice)
        await alice.is_told("device_added")
        carol = await self.scene.join("carol")
        self.begin()
        await alice.send(carol, "from alice")
        await carol.reads("from alice")
        await carol.is_told("forked")
        demand(carol.told_of("forked") == [alice.client.name], "another conversation")


class Forked(OnChain):
    """Bob is shown a further device of alice's that her own words have signed, and she is not."""

    told: ClassVar = {"alice": {"forked_own"}, "bob": {"device_added"}}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.account = Olm().new_account()

    def account_key(self) -> m.PublicKey:
        """Sign a key of the invented device, whose secrets the server has here."""
        device = self._shown.device if self._shown else ""
        return sign_key(self.account, device, 1, self.account.new_fallback_key())

    def added(self, shown: list[m.Link]) -> m.Link:
        """Make a link that everybody has to believe."""
        if self._shown is None:
            state = chain.verify_chain(shown, shown[0].acct)
            self._shown = links.make_add(
                state, self.device, self.signer, present_ms(), self.account.keys
            )
        return self._shown

    def treat(self, shown: list[m.Link]) -> list[m.Link]:
        """Add it."""
        return [*shown[:1], self.added(shown[:1])]

    async def play(self) -> None:
        """Let bob write to both devices; the first one hears what he believes."""
        alice, bob = await self.two()
        self.signer = await alice.recovery()
        self.begin()
        session = await self.scene.session(bob)
        session.push(m.DevicesChange(name=alice.client.name, chain_seq=1, time=present_ms()))
        await bob.is_told("device_added")
        await bob.send(alice, "for both")
        await alice.reads("for both")
        await alice.is_told("forked_own")
        demand(alice.told_of("forked_own") == [bob.client.name], "another conversation")

    async def afterwards(self) -> None:
        """Demand that bob's texts visibly fail now, and that alice and others still talk."""
        alice, bob = self.scene.witnesses
        carol = await self.scene.join("carol")
        lost = await bob.send(alice, "for a list that is not true")
        demand(lost.error_code == "devices_changed", f"failed with {lost.error_code}")
        await bob.send(carol, "for carol")
        await carol.reads("for carol")
        await alice.send(bob, "from alice")
        await bob.reads("from alice")


class OnWelcome(Attack):
    """An attack on what a device is told of its own chain at the login."""

    reason = ""

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Treat the welcome of alice."""
        if isinstance(message, m.Welcome) and session.name == self.scene.name_of("alice"):
            return [self.treat(message)]
        return [message]

    def treat(self, welcome: m.Welcome) -> m.Welcome:
        """Give another welcome."""
        raise NotImplementedError

    async def play(self) -> None:
        """Let alice come back: she stops, and says why; with an honest server she comes back."""
        alice, bob = await self.two()
        await alice.aclose()
        self.scene.witnesses.remove(alice)
        self.begin()
        stopped = await self.scene.start("alice")
        fatal = await stopped.stopped()
        what = f"{type(fatal.error).__name__} {fatal.error.fields.get('reason')}"
        demand(what == f"ChainInvalid {self.reason}", what)
        await stopped.aclose()
        self.scene.witnesses.remove(stopped)
        self.end()
        back = await self.scene.join("alice")
        await bob.send(back, "welcome")
        await back.reads("welcome")


class ForeignHead(OnWelcome):
    """The own chain has another end of the same length."""

    reason = "forked"

    def treat(self, welcome: m.Welcome) -> m.Welcome:
        """Change the head."""
        return replace(welcome, chain_head=bytes(32))


class UnprovenHead(OnWelcome):
    """The own chain is said to be longer, and nothing shows it."""

    reason = "rolled_back"

    def treat(self, welcome: m.Welcome) -> m.Welcome:
        """Say that it has grown."""
        return replace(welcome, chain_seq=welcome.chain_seq + 1, chain_head=bytes(32))


class OnSending(Attack):
    """The server refuses bob's messages with a list of devices that is not true."""

    def listed(self, message: m.Msg) -> list[str]:
        """Give the devices that it names."""
        raise NotImplementedError

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Refuse."""
        if not isinstance(message, m.Msg) or session.name != self.scene.name_of("bob"):
            return [message]
        session.push(
            m.ErrorReply(
                id=message.id,
                response=409,
                code="devices_changed",
                error="other devices",
                time=present_ms(),
                n=message.n,
                devices=self.listed(message),
            )
        )
        return []

    async def play(self) -> None:
        """Let bob write: it fails, and says why, and nothing was sealed for anybody else."""
        alice, bob = await self.two()
        self.begin()
        lost = await bob.send(alice, "for alice's own device")
        demand(lost.state is MessageState.FAILED, "it did not fail")
        demand(lost.error_code == "devices_changed", f"failed with {lost.error_code}")
        device = await alice.device()
        sealed = self.scene.heard(m.Msg)
        others = {k for each in sealed if each.ciphertexts for k in each.ciphertexts} - {device}
        demand(others <= {await bob.device()}, f"sealed for {others}")


class UnknownDeviceListed(OnSending):
    """The list has a device that no chain has."""

    def listed(self, message: m.Msg) -> list[str]:
        """Name one more."""
        return [*(message.ciphertexts or {}), "0123456789abcdef"]


class DeviceLeftOut(OnSending):
    """The list lacks a device that is in the chain."""

    def listed(self, message: m.Msg) -> list[str]:
        """Name one less."""
        return list(message.ciphertexts or {})[1:]


class Withheld(Attack):
    """Chains are never shown to bob: no answer at all."""

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Swallow the question."""
        is_his = session.name == self.scene.name_of("bob")
        return [] if isinstance(message, m.ChainRequest) and is_his else [message]

    async def play(self) -> None:
        """Let bob write to somebody new, and hear from her."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        self.begin()
        with mock.patch.object(errands, "ANSWER_S", 0.2):
            waiting = await bob.write(alice, "first words")
            await bob.until(lambda: "ConnectFailed timeout" in bob.errors, "the end of patience")
            await alice.send(bob, "from alice")
            self.end()
            await bob.client.wait_stored(waiting.message_id, PATIENCE_S)
            await alice.reads("first words")
            await bob.reads("from alice")


ATTACKS: Final[dict[str, type[Attack]]] = {
    "a device is added that a stranger has signed": StrangersDevice,
    "a device is added without a signature": UnsignedDevice,
    "a stranger's device is added to the own account": OwnDevice,
    "a device is added at the first contact": StrangersDeviceAtFirst,
    "a chain is exchanged for another one": Substituted,
    "a chain is rolled back": RolledBack,
    "a chain is cut off for somebody new": CutOff,
    "a chain is forked": Forked,
    "`welcome` has a foreign chain head": ForeignHead,
    "`welcome` has a chain head that nothing shows": UnprovenHead,
    "`devices_changed` names a device of no chain": UnknownDeviceListed,
    "`devices_changed` leaves a device out": DeviceLeftOut,
    "chains are withheld": Withheld,
}
