"""The model of the server: chains, key shelves, mailboxes and numbers, in a few dictionaries.

It keeps the rules of docs/protocol.md; `Liar` breaks them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Struct, field

from jim.crypto.chain import verify_chain
from jim.crypto.transcript import link_hash
from jim.errors import (
    ChainMoved,
    DevicesChanged,
    MailboxFull,
    NumberGap,
    RecipientUnknown,
    WireError,
)
from jim.protocol import messages as m
from jim.protocol.codec import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reliability.sealed.book import Book
    from reliability.sealed.client import Client

EPOCH: Final = "the-first"
"""The lineage of the server's store: it is never restored here."""

FEW_KEYS: Final = 1
"""So few one-time keys left make the server ask for more."""


class Shelf(Struct):
    """The keys of one device."""

    fallback: m.PublicKey
    one_time: deque[m.PublicKey] = field(default_factory=deque)
    highest: int = 0
    given: list[m.PublicKey] = field(default_factory=list)


class Desk(Struct):
    """What the server has of one device.

    `answers` are all that it ever gave, by number.
    """

    name: str
    shelf: Shelf
    mailbox: list[m.Delivery] = field(default_factory=list)
    acked: int = 0
    last_n: int = 0
    last_mark: str = ""
    answers: dict[int, m.Stored] = field(default_factory=dict)


class Server:
    """An honest server."""

    def __init__(self, book: Book) -> None:
        """Begin empty; `book` hears what comes past here."""
        self.book = book
        self.now_ms = 1_000_000_000
        self.chains: dict[str, list[m.Link]] = {}
        self.desks: dict[str, Desk] = {}
        self.online: dict[str, Client] = {}
        self._seqs: dict[frozenset[str], int] = {}
        self._present: dict[str, set[str]] = {}
        self.is_full = False
        """The next text that comes is refused, as if nobody took any more."""

    # --- accounts ---------------------------------------------------------------------------------

    def add_link(self, name: str, link: m.Link) -> None:
        """Put a link behind a chain and tell everybody who is there."""
        self.chains.setdefault(name, []).append(link)
        self._present[name] = set(verify_chain(self.chains[name], name).keys)
        self.book.devices_are(name, self.present(name))
        for device in list(self.online):
            if device not in self.present(self.desks[device].name):
                self.online.pop(device).lose()
        for client in self.online.values():
            client.push(m.DevicesChange(name=name, chain_seq=link.seq, time=self.now_ms))

    def open_desk(self, name: str, device: str, fallback: m.PublicKey) -> None:
        """Begin to keep things for a device."""
        self.desks[device] = Desk(name, Shelf(fallback))
        self.book.key_published(device, fallback)

    def present(self, name: str) -> set[str]:
        """Give the devices of an account that can open something."""
        return self._present[name]

    # --- sessions ---------------------------------------------------------------------------------

    def log_in(self, client: Client) -> m.Welcome | None:
        """Let a device in, unless it was taken out of its account."""
        device, desk = client.device, self.desks[client.device]
        chain = self.chains[desk.name]
        if device not in self.present(desk.name):
            return None
        self.online[device] = client
        return m.Welcome(
            id="",
            response=200,
            time=self.now_ms,
            name=desk.name,
            device=device,
            last_n=desk.last_n,
            position=len(desk.mailbox),
            acked=desk.acked,
            epoch=EPOCH,
            chain_seq=chain[-1].seq,
            chain_head=bytes(32),
            one_time_keys=len(desk.shelf.one_time),
            last_mark=desk.last_mark or UNSET,
        )

    def gone(self, device: str) -> None:
        """Note that a connection is lost."""
        self.online.pop(device, None)

    def frames(self, device: str, after: int) -> list[m.Delivery]:
        """Give what waits behind a position."""
        return self.desks[device].mailbox[after:]

    def ack(self, device: str, position: int) -> None:
        """Take a confirmation."""
        desk = self.desks[device]
        desk.acked = max(desk.acked, position)

    # --- questions --------------------------------------------------------------------------------

    def answer(
        self, device: str, question: m.ChainRequest | m.Claim | m.Keys | m.Receipts | m.Extend
    ) -> m.ServerMessage:
        """Answer a question of a client.

        Raises:
            WireError: the answer is an error.
        """
        self.book.seen(encode(question))
        if isinstance(question, m.ChainRequest):
            return self._chain(device, question)
        if isinstance(question, m.Claim):
            return self._claimed(device, question)
        if isinstance(question, m.Keys):
            return self._take_keys(device, question)
        if isinstance(question, m.Extend):
            return self._extend(device, question)
        return self._receipts(device, question)

    def _chain(self, device: str, question: m.ChainRequest) -> m.Chain:
        name = question.name if isinstance(question.name, str) else self.desks[device].name
        if name not in self.chains:
            raise RecipientUnknown(name=name)
        after = question.after if isinstance(question.after, int) else -1
        links = self.shown_links(device, name, after)
        return m.Chain(id="", response=200, time=self.now_ms, links=links)

    def shown_links(self, _device: str, name: str, after: int) -> list[m.Link]:
        """Give the links of a chain behind a number as a device gets to see them."""
        return [link for link in self.chains[name] if link.seq > after]

    def _extend(self, device: str, question: m.Extend) -> m.Extended:
        """Take a further link of a device's own chain, if it is the next one and right."""
        name, link = self.desks[device].name, question.link
        known = self.chains[name]
        if link not in known:
            if link.seq != len(known):
                raise ChainMoved(expected=len(known))
            verify_chain([*known, link], name)
            if isinstance(question.fallback, m.PublicKey):
                self.open_desk(name, link.device, question.fallback)
            self.add_link(name, link)
        return m.Extended(
            id="",
            response=200,
            time=self.now_ms,
            chain_seq=link.seq,
            chain_head=link_hash(link),
        )

    def _claimed(self, device: str, question: m.Claim) -> m.Claimed:
        keys = {}
        for each in question.devices:
            if each in self.present(question.name):
                keys[each] = self.claim(device, each)
        return m.Claimed(id="", response=200, time=self.now_ms, keys=keys)

    def claim(self, _by: str, device: str) -> m.PublicKey:
        """Take a key of a device: a one-time key while there is one."""
        shelf = self.desks[device].shelf
        if not shelf.one_time:
            self.book.counts["fallback keys"] += 1
            return shelf.fallback
        key = shelf.one_time.popleft()
        shelf.given.append(key)
        self.book.counts["one-time keys"] += 1
        left = len(shelf.one_time)
        if left <= FEW_KEYS and device in self.online:
            self.online[device].push(m.KeysLeft(one_time_keys=left, time=self.now_ms))
        return key

    def _take_keys(self, device: str, keys: m.Keys) -> m.KeysReply:
        shelf = self.desks[device].shelf
        for key in keys.one_time:
            self.book.key_published(device, key)
            if key.id > shelf.highest:
                shelf.one_time.append(key)
                shelf.highest = key.id
        if isinstance(keys.fallback, m.PublicKey):
            self.book.key_published(device, keys.fallback)
            if keys.fallback.id > shelf.fallback.id:
                shelf.fallback = keys.fallback
        left = len(shelf.one_time)
        return m.KeysReply(id="", response=200, time=self.now_ms, one_time_keys=left)

    def _receipts(self, device: str, question: m.Receipts) -> m.ReceiptsReply:
        me = self.desks[device].name
        found = {name: self._delivered(me, name) for name in question.names if name in self.chains}
        chains = {name: self.chains[name][-1].seq for name in found}
        return m.ReceiptsReply(
            id="", response=200, time=self.now_ms, delivered=found, chains=chains
        )

    def _delivered(self, me: str, peer: str) -> int:
        """Give how far some device of the peer has collected what we wrote."""
        return max(
            (
                frame.seq
                for desk in self.desks.values()
                if desk.name == peer
                for frame in desk.mailbox[: desk.acked]
                if frame.sender == me and frame.to == peer
            ),
            default=0,
        )

    # --- messages ---------------------------------------------------------------------------------

    def take(self, device: str, message: m.Msg) -> m.Stored | WireError:
        """Store a message, or say why not; a number that was there gets its first answer."""
        self.book.seen(encode(message))
        desk = self.desks[device]
        if message.n in desk.answers:
            return msgspec.structs.replace(desk.answers[message.n], id=message.id)
        if message.n != desk.last_n + 1:
            return NumberGap(expected=desk.last_n + 1)
        if message.to not in self.chains:
            return RecipientUnknown(name=message.to)
        if not self._is_for_all(device, message):
            return DevicesChanged(devices=sorted(self._wanted(device, message.to)))
        if self.is_full and not message.only:
            self.is_full = False
            self.book.counts["full mailbox"] += 1
            self.book.reasons.add(MailboxFull.code)
            return MailboxFull()
        return self._store(device, desk, message)

    def _wanted(self, device: str, to: str) -> set[str]:
        return (self.present(to) | self.present(self.desks[device].name)) - {device}

    def _is_for_all(self, device: str, message: m.Msg) -> bool:
        if isinstance(message.message, str):
            return not self.present(message.to)
        assert isinstance(message.ciphertexts, dict)
        named, wanted = set(message.ciphertexts), self._wanted(device, message.to)
        return named <= wanted if message.only else named == wanted

    def _store(self, device: str, desk: Desk, message: m.Msg) -> m.Stored:
        seq = 0
        if not message.only:
            pair = frozenset({desk.name, message.to})
            seq = self._seqs[pair] = self._seqs.get(pair, 0) + 1
        self.book.accepted(device, message.n, self._wanted(device, message.to))
        stored = m.Stored(id=message.id, response=200, time=self.now_ms, n=message.n, seq=seq)
        desk.answers[message.n] = stored
        desk.last_n = message.n
        desk.last_mark = message.mark if isinstance(message.mark, str) else ""
        ciphertexts = message.ciphertexts if isinstance(message.ciphertexts, dict) else {}
        for each, ciphertext in ciphertexts.items():
            frame = m.Delivery(
                position=0,
                seq=seq,
                sender=desk.name,
                device=device,
                n=message.n,
                to=message.to,
                time=self.now_ms,
                ciphertext=ciphertext,
            )
            self._deliver(each, frame)
        return stored

    def _deliver(self, device: str, frame: m.Delivery) -> None:
        for target, altered in self.altered(device, frame):
            self.put(target, altered)

    def altered(self, device: str, frame: m.Delivery) -> Iterable[tuple[str, m.Delivery]]:
        """Give what becomes of a delivery: whose mailboxes it goes into, and as what."""
        return [(device, frame)]

    def put(self, device: str, frame: m.Delivery) -> None:
        """Put a frame into a mailbox, under its next position."""
        mailbox = self.desks[device].mailbox
        mailbox.append(msgspec.structs.replace(frame, position=len(mailbox) + 1))
