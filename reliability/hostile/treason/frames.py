# long module: a catalogue of attacks, one after the other
"""Attacks on messages: replayed, reordered, dropped, altered, invented, delivered to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from msgspec import UNSET
from msgspec.structs import replace

from jim.client.events import MessageState
from jim.protocol import messages as m
from reliability.hostile.treason.attack import Attack, demand
from reliability.hostile.treason.scene import present_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliability.hostile.traitor import Session
    from reliability.hostile.treason.scene import Witness

INVENTED: Final = "an invented text"


def is_text(message: Any) -> bool:
    """Tell whether this is a sealed message with a place in a conversation."""
    return isinstance(message, m.Delivery) and message.ciphertext is not UNSET and message.seq > 0


class OnTexts(Attack):
    """An attack on the sealed texts that come to alice's first device."""

    device = ""

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Treat the texts for the victim alone."""
        if session.device == self.device and is_text(message):
            return self.treat(message)
        return [message]

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Give what the victim gets instead of a text."""
        raise NotImplementedError

    async def play(self) -> None:
        """Let bob write three texts to alice, the second of them under attack."""
        alice, bob = await self.two()
        self.device = await alice.device()
        await bob.send(alice, "one")
        await alice.reads("one")
        self.begin()
        await bob.send(alice, "two")
        await self.attacked(alice, bob)
        self.end()
        await bob.send(alice, "three")
        await alice.reads("one", "two", "three")

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Wait for what the attack alone has to bring."""


class Duplicated(OnTexts):
    """Each text is delivered twice, under two positions."""

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Deliver it twice."""
        return [text, text]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand that it is there once."""
        del bob
        await alice.reads("two")


class Replayed(OnTexts):
    """An old text comes again as if it were a new one: number, place and time are later."""

    told: ClassVar = {"alice": {"undecryptable"}}

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Deliver it, and then what it was as something new."""
        return [text, replace(text, n=text.n + 1, seq=text.seq + 1, time=text.time + 1)]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand that the repetition does not open."""
        del bob
        await alice.reads("two")
        await alice.is_told("undecryptable")


class Dropped(OnTexts):
    """A text is dropped; the mailbox has no gap, and its sender was told that it is stored."""

    told: ClassVar = {"alice": {"dropped"}}

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Drop it."""
        del text
        return []


class Reordered(OnTexts):
    """Three texts come in the order 3, 1, 2."""

    told: ClassVar = {"alice": {"dropped"}}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._held: list[m.Delivery] = []

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Hold two back, and let the third go first."""
        self._held.append(text)
        if len(self._held) < 3:
            return []
        first, second, third = self._held
        return [third, first, second]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Let all three come."""
        await bob.send(alice, "two and a half")
        await bob.send(alice, "nearly three")
        await alice.reads("two", "two and a half", "nearly three")


class Damaged(OnTexts):
    """One character of a ciphertext is another."""

    told: ClassVar = {"alice": {"undecryptable"}}

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Change one near the end, where the authentication is."""
        sealed = str(text.ciphertext)
        other = "B" if sealed[-4] != "B" else "C"
        return [replace(text, ciphertext=f"{sealed[:-4]}{other}{sealed[-3:]}")]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand the warning, and that the text comes all the same."""
        del bob
        await alice.is_told("undecryptable")
        await alice.reads("two")


class Stripped(OnTexts):
    """A sealed text becomes a plain one of the server's."""

    told: ClassVar = {"alice": {"dropped"}}

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Put a plain text in its place."""
        return [replace(text, ciphertext=UNSET, message=INVENTED)]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand that it is withheld and marked."""
        del bob
        await is_withheld(alice)


class Invented(Attack):
    """A plain text in a contact's name, and one in that of another device of our own."""

    async def play(self) -> None:
        """Invent both."""
        alice, bob = await self.two()
        session = await self.scene.session(alice)
        plain = m.Delivery(
            position=0,
            seq=90,
            sender=bob.client.name,
            device=await bob.device(),
            n=90,
            to=alice.client.name,
            time=present_ms(),
            message=INVENTED,
        )
        session.push(plain)
        await is_withheld(alice)
        session.push(replace(plain, sender=alice.client.name, to=bob.client.name, device="0" * 16))
        await alice.until(lambda: len(alice.withheld) == 2, "the second invented text")


class Ventriloquist(Attack):
    """The server says what only a client can find out, to have an account given up."""

    told: ClassVar = {
        "alice": {
            "server: keys_changed",
            "server: verified_changed",
            "server: forked_own",
            "server: cloned",
        }
    }

    async def play(self) -> None:
        """Demand that it is told as what the server says."""
        alice, _ = await self.two()
        session = await self.scene.session(alice)
        for code in ("keys_changed", "verified_changed", "forked_own", "cloned"):
            session.push(m.Notice(position=0, code=code, time=present_ms()))
        await alice.is_told("server: cloned")


async def is_withheld(witness: Witness) -> None:
    """Demand that a plain text is marked, and not given."""
    await witness.until(lambda: bool(witness.withheld), "the plain text")
    demand(
        all(each.plain and not each.text for each in witness.withheld),
        "an invented plain text was shown",
    )


class WrongSender(OnTexts):
    """A text of bob's comes in carol's name."""

    told: ClassVar = {"alice": {"unknown_device", "dropped"}}
    carol = ""

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Put another name to it."""
        return [replace(text, sender=self.carol)]

    async def play(self) -> None:
        """Let carol be somebody whom alice knows."""
        carol = await self.scene.join("carol")
        self.carol = carol.client.name
        await super().play()

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand the warning."""
        del bob
        await alice.is_told("unknown_device")
        demand(alice.told_of("unknown_device") == [self.carol], "told in another conversation")


class WrongDevice(OnTexts):
    """A text of bob's first device comes as one of his second."""

    told: ClassVar = {
        "alice": {"undecryptable", "dropped", "device_added"},
        "bob": {"device_added"},
    }
    other = ""

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Put the other device to it."""
        return [replace(text, device=self.other)]

    async def two(self) -> tuple[Witness, Witness]:
        """Give bob a second device."""
        alice, bob = await super().two()
        second = await self.scene.further(bob)
        await bob.is_told("device_added")
        self.other = await second.device()
        await second.send(alice, "from the second")
        await alice.reads("from the second")
        return alice, bob

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand the warning."""
        await alice.is_told("undecryptable")
        demand(alice.told_of("undecryptable") == [bob.client.name], "another conversation")


class UnknownDevice(OnTexts):
    """A text comes from a device that nobody has."""

    told: ClassVar = {"alice": {"unknown_device", "dropped"}}

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Put a device to it that is in no chain."""
        return [replace(text, device="0123456789abcdef")]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand the warning."""
        del bob
        await alice.is_told("unknown_device")


class WrongConversation(OnTexts):
    """A text comes as one to somebody else."""

    told: ClassVar = {"alice": {"forged", "dropped"}}

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Put another addressee to it."""
        return [replace(text, to="nobody")]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Demand the warning, in the conversation of who has written."""
        await alice.is_told("forged")
        demand(alice.told_of("forged") == [bob.client.name], "told in another conversation")


class ToAnotherPerson(Attack):
    """What was sealed for alice is delivered to carol as well."""

    told: ClassVar = {"carol": {"undecryptable"}}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._carol: Session | None = None

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Let carol have a copy."""
        if self._carol is not None and session is not self._carol and is_text(message):
            self._carol.push(replace(message, to=self._carol.name))
        return [message]

    async def play(self) -> None:
        """Let bob write to alice while carol listens in."""
        alice, bob = await self.two()
        carol = await self.scene.join("carol")
        await self.scene.acquaint(bob, carol)
        self._carol = await self.scene.session(carol)
        self.begin()
        await bob.send(alice, "for alice alone")
        await alice.reads("for alice alone")
        await carol.is_told("undecryptable")
        demand("for alice alone" not in carol.texts, "carol has read what was for alice")


class ToAnotherDevice(Attack):
    """What was sealed for alice's first device is delivered to her second."""

    told: ClassVar = {
        "alice": {"device_added"},
        "alice2": {"undecryptable"},
        "bob": {"device_added"},
    }

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._first = ""
        self._texts: dict[int, str] = {}

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Give the second device what the first one has to get."""
        if isinstance(message, m.Msg) and not message.only and message.ciphertexts is not UNSET:
            first = message.ciphertexts.get(self._first)
            if first is not None and session.name != self.scene.name_of("alice"):
                return [replace(message, ciphertexts=dict.fromkeys(message.ciphertexts, first))]
        return [message]

    async def play(self) -> None:
        """Let bob write to both devices."""
        alice, bob = await self.two()
        second = await self.scene.further(alice)
        await alice.is_told("device_added")
        await bob.is_told("device_added")
        await bob.send(alice, "for both")
        await second.reads("for both")
        self._first = await alice.device()
        self.begin()
        await bob.send(alice, "swapped")
        await alice.reads("swapped")
        await second.is_told("undecryptable")
        await second.reads("swapped")


class StoredLie(Attack):
    """The server says "stored" and has thrown the message away."""

    told: ClassVar = {"alice": {"dropped"}}

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lied = False

    def of_client(self, session: Session, message: Any) -> Iterable[Any]:
        """Confirm one message without keeping it."""
        if isinstance(message, m.Msg) and not self._lied:
            self._lied = True
            session.push(
                m.Stored(id=message.id, response=202, time=present_ms(), n=message.n, seq=77)
            )
            return []
        return [message]

    async def play(self) -> None:
        """Let bob write once into the void, then go on."""
        alice, bob = await self.two()
        self.begin()
        lost = await bob.send(alice, "into the void")
        demand(lost.state is MessageState.STORED, "the lie was not even told")
        await bob.write(alice, "the next one")
        await alice.reads("into the void", "the next one")
        demand(bob.connections > 1, "bob has not looked where the server stands")


class DroppedWithRepeat(OnTexts):
    """A text is dropped, and so is everything that comes in its place."""

    told: ClassVar = {"alice": {"dropped"}}

    def of_server(self, session: Session, message: Any) -> Iterable[Any]:
        """Drop repetitions too: they go to one device alone."""
        mine = session.device == self.device and isinstance(message, m.Delivery)
        return [] if mine and not message.seq else super().of_server(session, message)

    def treat(self, text: m.Delivery) -> Iterable[m.Delivery]:
        """Drop the first one only."""
        self._seen = getattr(self, "_seen", 0) + 1
        return [] if self._seen == 1 else [text]

    async def attacked(self, alice: Witness, bob: Witness) -> None:
        """Let alice ask in vain."""
        await bob.send(alice, "two and a half")
        await alice.is_told("dropped")
        await bob.send(alice, "nearly three")
        await alice.reads("two and a half", "nearly three")


ATTACKS: Final[dict[str, type[Attack]]] = {
    "a message is delivered twice": Duplicated,
    "an old message is replayed as a new one": Replayed,
    "messages are reordered": Reordered,
    "a message is dropped": Dropped,
    "a message and its repetition are dropped": DroppedWithRepeat,
    "a ciphertext is damaged": Damaged,
    "a sealed message is replaced by a plain one": Stripped,
    "plain messages are invented": Invented,
    "warnings are said in the client's voice": Ventriloquist,
    "`from` is altered": WrongSender,
    "`device` is altered to another one of the sender's": WrongDevice,
    "`device` is altered to an unknown one": UnknownDevice,
    "`to` is altered": WrongConversation,
    "a message is delivered to another person": ToAnotherPerson,
    "a message is delivered to another device of the same person": ToAnotherDevice,
    "`stored` for what was not stored": StoredLie,
}
