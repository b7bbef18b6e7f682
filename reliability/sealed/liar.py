"""A server that lies: in one run it tells lies of one or two kinds, and what each may bring about.

What a lie may bring about is as much a rule as what it must not: a server that delivers a frame
twice, say, must not even be able to frighten anybody.
"""

from __future__ import annotations

import enum
import random
from typing import TYPE_CHECKING, Final

import msgspec

from jim.client.encryption import opening
from jim.client.encryption.sealing import NO_OWN_KEYS
from jim.client.encryption.vault import new_vault
from jim.client.errands import KEYS_INVALID
from jim.client.notice_store import CHAIN_INVALID
from jim.crypto import links
from jim.crypto.chain import verify_chain
from jim.crypto.keys import SigningKey, device_id
from jim.errors import DevicesChanged, WireError
from jim.protocol import messages as m
from reliability.sealed.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliability.sealed.book import Book


class Lie(enum.Enum):
    """What the server does."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    REPLAY = "replay"
    """Some frame of before comes again."""
    REORDER = "reorder"
    DAMAGE = "damage"
    MISDELIVER = "misdeliver"
    """A frame comes to another device than it is for."""
    WRONG_SENDER = "wrong sender"
    WRONG_CHAT = "wrong chat"
    STALE_KEY = "stale key"
    """A one-time key is given to a second one."""
    FALSE_KEY = "false key"
    """A key is given that its device has not signed."""
    WITHHELD = "withheld chain"
    FORKED = "forked chain"
    FALSE_CHANGE = "false change of devices"
    PLAIN = "plain text"
    """A text that is not sealed, under somebody's name."""


BRINGS: Final[dict[Lie, frozenset[str]]] = {
    Lie.DROP: frozenset({opening.DROPPED}),
    Lie.DUPLICATE: frozenset(),
    Lie.REPLAY: frozenset(),
    Lie.REORDER: frozenset({opening.DROPPED}),
    Lie.DAMAGE: frozenset({opening.UNDECRYPTABLE, opening.DROPPED}),
    Lie.MISDELIVER: frozenset({opening.UNDECRYPTABLE, opening.UNKNOWN_DEVICE}),
    Lie.WRONG_SENDER: frozenset(
        {opening.UNDECRYPTABLE, opening.UNKNOWN_DEVICE, opening.FORGED, opening.DROPPED}
    ),
    # Where the right frame comes behind it, it can be opened no more.
    Lie.WRONG_CHAT: frozenset({opening.FORGED, opening.DROPPED, opening.UNDECRYPTABLE}),
    Lie.STALE_KEY: frozenset({opening.UNDECRYPTABLE}),
    Lie.FALSE_KEY: frozenset(),
    Lie.WITHHELD: frozenset(
        {
            *(opening.UNKNOWN_DEVICE, opening.FORGED, opening.DROPPED),
            *(opening.FORKED, opening.FORKED_OWN),
        }
    ),
    Lie.FORKED: frozenset(
        {CHAIN_INVALID, opening.UNKNOWN_DEVICE, opening.DROPPED, opening.FORKED, opening.FORKED_OWN}
    ),
    Lie.FALSE_CHANGE: frozenset(),
    Lie.PLAIN: frozenset(),
}
"""The alarms that a lie may raise."""


FAILS: Final[dict[Lie, frozenset[str]]] = {
    Lie.FALSE_KEY: frozenset({KEYS_INVALID}),
    # Told a few times of the same text: nobody tries for ever with what is of no use.
    Lie.WITHHELD: frozenset({KEYS_INVALID, DevicesChanged.code, NO_OWN_KEYS}),
    Lie.FORKED: frozenset({DevicesChanged.code}),
    Lie.FALSE_CHANGE: frozenset({DevicesChanged.code}),
}
"""The codes with which a text may fail because of a lie; its author sees that."""


def lies_of(shuffle: int) -> list[Lie]:
    """Give which lies are told in the run of a schedule."""
    return random.Random(shuffle).sample(list(Lie), 1 + shuffle % 2)


class Liar(Server):
    """A server that lies as often as it is told to."""

    def __init__(self, book: Book, shuffle: int) -> None:
        """Take which lies it tells, chosen by the number."""
        super().__init__(book)
        self._chance = random.Random(shuffle)
        self.kinds = lies_of(shuffle)
        self._due: list[Lie] = []
        self._held: dict[str, m.Delivery] = {}

    def lie(self, number: int) -> None:
        """Lie once more, as soon as there is something to lie about."""
        kind = self.kinds[number % len(self.kinds)]
        if kind is Lie.PLAIN:
            self._inject(number)
        elif kind is Lie.FORKED:
            self._due.append(kind)
            self._announce(number)
        else:
            self._due.append(kind)

    def honest(self) -> None:
        """Lie no more; what was held back is lost."""
        self._due.clear()
        self._held.clear()

    def _is_due(self, *kinds: Lie) -> Lie | None:
        """Take the first lie that waits of these kinds."""
        for kind in self._due:
            if kind in kinds:
                self._due.remove(kind)
                self._fired(kind)
                return kind
        return None

    def _fired(self, kind: Lie) -> None:
        self.book.counts[f"lie: {kind.value}"] += 1
        self.book.counts["lies"] += 1
        self.book.allowed |= BRINGS[kind]
        self.book.reasons |= FAILS.get(kind, frozenset())

    # --- deliveries -------------------------------------------------------------------------------

    def altered(self, device: str, frame: m.Delivery) -> Iterable[tuple[str, m.Delivery]]:
        """Lie about a delivery."""
        kind = self._is_due(*_ALTER)
        late = [(device, self._held.pop(device))] if device in self._held else []
        if kind is None:
            return [(device, frame), *late]
        if kind is Lie.REORDER:
            self._held[device] = frame
            return late
        return [*getattr(self, _ALTER[kind])(device, frame), *late]

    def _drop(self, _device: str, _frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        return []

    def _duplicate(self, device: str, frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        return [(device, frame)] * 2

    def _replay(self, device: str, frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        mailbox = self.desks[device].mailbox
        old = self._chance.choice(mailbox) if mailbox else frame
        return [(device, old), (device, frame)]

    def _damage(self, device: str, frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        text = frame.ciphertext
        assert isinstance(text, str)
        place = self._chance.randrange(2, len(text) - 2)
        other = "A" if text[place] != "A" else "B"
        changed = f"{text[:place]}{other}{text[place + 1 :]}"
        return [(device, msgspec.structs.replace(frame, ciphertext=changed))]

    def _misdeliver(self, device: str, frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        others = [each for each in self.desks if each not in {device, frame.device}]
        return [(device, frame), (self._chance.choice(others), frame)]

    def _wrong_sender(self, device: str, frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        names = [name for name in self.chains if name != frame.sender]
        name = self._chance.choice(names)
        other = self._chance.choice([frame.device, *sorted(self.present(name))])
        return [(device, msgspec.structs.replace(frame, sender=name, device=other))]

    def _wrong_chat(self, device: str, frame: m.Delivery) -> list[tuple[str, m.Delivery]]:
        names = [name for name in self.chains if name != frame.to]
        return [(device, msgspec.structs.replace(frame, to=self._chance.choice(names)))]

    def _inject(self, number: int) -> None:
        devices = sorted(self.online)
        if not devices:
            return
        device = devices[number % len(devices)]
        name = self._chance.choice([n for n in self.chains if n != self.desks[device].name])
        self._fired(Lie.PLAIN)
        frame = m.Delivery(
            position=0,
            seq=number % 9,
            sender=name,
            device=self._chance.choice(sorted(self.present(name)) or [device]),
            n=number % 9 + 1,
            to=self.desks[device].name,
            time=self.now_ms,
            message=f"injected {number}",
        )
        self.put(device, frame)

    # --- keys and chains --------------------------------------------------------------------------

    def claim(self, by: str, device: str) -> m.PublicKey:
        """Lie about a key."""
        given = self.desks[device].shelf.given
        if given and self._is_due(Lie.STALE_KEY):
            return given[self._chance.randrange(len(given))]
        key = super().claim(by, device)
        if self._is_due(Lie.FALSE_KEY):
            other = new_vault(SigningKey(self._chance.randbytes(32)), device).fallback
            return msgspec.structs.replace(other, id=key.id)
        return key

    def shown_links(self, device: str, name: str, after: int) -> list[m.Link]:
        """Lie about a chain, but not to somebody who sees it for the first time."""
        true = self.chains[name]
        if len(true) > 1 and self._is_due(Lie.WITHHELD):
            shown = true[: self._chance.randrange(1, len(true))]
            return [link for link in shown if link.seq > after]
        is_own = name == self.desks[device].name
        if after >= 0 and not is_own and self._is_due(Lie.FORKED):
            return self._false_chain(name)
        return super().shown_links(device, name, after)

    def _false_chain(self, name: str) -> list[m.Link]:
        """Make a longer chain, all of it right, for other devices."""
        key, recovery = (SigningKey(self._chance.randbytes(32)) for _ in range(2))
        vault = new_vault(key, device_id(key.public))
        chain = [links.make_genesis(name, key, recovery.public, self.now_ms, vault.keys)]
        while len(chain) <= len(self.chains[name]):
            more = SigningKey(self._chance.randbytes(32))
            state = verify_chain(chain, name)
            chain.append(links.make_add(state, more, key, self.now_ms))
        return chain

    def _announce(self, number: int) -> None:
        """Say that a chain has grown, so that somebody asks for it."""
        names = sorted(self.chains)
        name = names[number % len(names)]
        change = m.DevicesChange(name=name, chain_seq=len(self.chains[name]), time=self.now_ms)
        for client in self.online.values():
            client.push(change)

    # --- messages ---------------------------------------------------------------------------------

    def take(self, device: str, message: m.Msg) -> m.Stored | WireError:
        """Lie about the devices that there are."""
        is_new = message.n == self.desks[device].last_n + 1
        if is_new and isinstance(message.ciphertexts, dict) and self._is_due(Lie.FALSE_CHANGE):
            return DevicesChanged(devices=sorted(message.ciphertexts))
        return super().take(device, message)

    def forget(self, device: str, last_n: int, position: int) -> None:
        """Pretend that a device has never done more than its older store knows."""
        desk = self.desks[device]
        desk.last_n, desk.last_mark, desk.acked = last_n, "", position
        desk.answers = {n: answer for n, answer in desk.answers.items() if n <= last_n}


_ALTER: Final = {
    Lie.DROP: "_drop",
    Lie.DUPLICATE: "_duplicate",
    Lie.REPLAY: "_replay",
    Lie.REORDER: "",
    Lie.DAMAGE: "_damage",
    Lie.MISDELIVER: "_misdeliver",
    Lie.WRONG_SENDER: "_wrong_sender",
    Lie.WRONG_CHAT: "_wrong_chat",
}
"""What alters a delivery, and by which method."""
