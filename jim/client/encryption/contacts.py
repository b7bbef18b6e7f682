"""The pinned device chains: whom to seal for, and what may have changed about somebody."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jim.client.encryption.content import Head
from jim.crypto import chain
from jim.crypto.chain import ChainState
from jim.crypto.transcript import link_hash
from jim.errors import ChainInvalid
from jim.protocol.messages import RESET, Link

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

MAX_LINKS: Final = 1_000
"""Of somebody else's chain: people add and remove a few devices a year. So many have 450 KiB, half
of the longest frame that is taken (jim.client.link), and take 0.2 s to verify."""

MAX_DEVICES: Final = 64
"""Of somebody else's account: as many as one `claim` asks for keys of (the protocol's bound,
jim.protocol.messages.MAX_CLAIMED). Each is a copy of every message; an honest server allows ten."""

MAX_CACHED: Final = 256
"""Chains kept in memory: people who are written to in turn. Others are verified again, 0.2 ms a
link."""

_READ: Final = "SELECT links, trust, plain FROM contacts WHERE name = ?"
_KEEP: Final = """
    INSERT INTO contacts (name, links, trust, plain) VALUES (?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET links = excluded.links, trust = excluded.trust
"""
_ALLOW: Final = """
    INSERT INTO contacts (name, links, plain) VALUES (?1, x'5b5d', ?2)
    ON CONFLICT (name) DO UPDATE SET plain = ?2
"""
_FORGET: Final = "UPDATE contacts SET links = x'5b5d', trust = ? WHERE name = ?"

_decode = msgspec.json.Decoder(list[Link]).decode


class Trust(enum.StrEnum):
    """What the user knows of somebody's keys; the value is what the store keeps."""

    FIRST = "first"
    """The first ones that were seen."""
    VERIFIED = "verified"
    """The user has compared them."""
    CHANGED = "changed"
    """They were verified, and began anew since: nothing is sent until the user says so."""


class Contact(Struct, frozen=True):
    """Somebody whose chain is pinned, ourselves included.

    Attributes:
        links: the chain, verified; empty if only `plain` is known.
        state: what it says, None for no chain.
        trust: what the user knows.
        plain: texts that are not sealed are allowed.
    """

    name: str
    links: list[Link]
    state: ChainState | None
    trust: Trust = Trust.FIRST
    plain: bool = False

    @property
    def seq(self) -> int:
        """The number of the last link that is known, -1 for no chain."""
        return self.links[-1].seq if self.links else -1

    @property
    def head(self) -> Head:
        """The end of the chain; only where there is one."""
        if self.state is None:
            raise LookupError(f"no chain of {self.name} is known")
        return Head(self.state.seq, self.state.head)

    def has(self, head: Head) -> bool:
        """Tell whether the chain contains a link that somebody saw as its end."""
        if self.state is not None and head.seq == self.state.seq:
            return head.head == self.state.head
        place = head.seq - chain.FIRST_SEQ
        return place < len(self.links) and link_hash(self.links[place]) == head.head


class Learned(Struct, frozen=True):
    """What a longer chain has brought.

    Attributes:
        added: devices that are new and still there.
        removed: devices that were known and are gone.
        passing: devices that were added and taken out again since; they could read what was
            sealed in between.
        restarted: the account began anew, with other keys.
        is_new: nothing was known of it before.
    """

    contact: Contact
    added: list[str]
    removed: list[str]
    passing: list[str]
    restarted: bool
    is_new: bool


class Contacts:
    """The table of pinned chains."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take the store's connection."""
        self._sql = connection
        self._cache: dict[str, tuple[bytes, Contact]] = {}
        """Verified chains by the bytes that they were verified from, so that they stay right
        whatever is rolled back; verifying one costs 0.2 ms a link."""

    def get(self, name: str) -> Contact | None:
        """Read a contact, None if nothing is known."""
        row = self._sql.execute(_READ, (name,)).fetchone()
        if row is None:
            return None
        packed, trust, plain = bytes(row[0]), Trust(row[1]), bool(row[2])
        known = self._cache.get(name)
        if known is None or known[0] != packed:
            links = _decode(packed)
            state = chain.verify_chain(links, name) if links else None
            known = self._remember(packed, Contact(name, links, state))
        return msgspec.structs.replace(known[1], trust=trust, plain=plain)

    def _remember(self, packed: bytes, contact: Contact) -> tuple[bytes, Contact]:
        self._cache.pop(contact.name, None)
        if len(self._cache) >= MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[contact.name] = found = (packed, contact)
        return found

    def learn(self, name: str, shown: Sequence[Link], *, bounded: bool = False) -> Learned:
        """Pin a chain, or what it has grown by; links that we have already may come again.

        Raises:
            ChainInvalid: it is not valid, or not the one that is pinned (forked, rolled_back); if
                `bounded`, also for one that is too long, or has too many devices (size).
        """
        before = self.get(name)
        known = before.links if before else []
        links = _joined(known, shown)
        if bounded and len(links) > MAX_LINKS:
            raise ChainInvalid("the chain is too long", reason="size", seq=MAX_LINKS)
        state = _verified(before, links, name)
        if bounded and len(state.devices) > MAX_DEVICES:
            raise ChainInvalid("the account has too many devices", reason="size", seq=state.seq)
        new = links[len(known) :]
        restarted = bool(known) and any(link.op == RESET for link in new)
        trust = before.trust if before else Trust.FIRST
        if restarted and trust is Trust.VERIFIED:
            trust = Trust.CHANGED
        plain = before is not None and before.plain
        packed = msgspec.json.encode(links)
        self._sql.execute(_KEEP, (name, packed, trust, plain))
        self._remember(packed, Contact(name, links, state))
        contact = Contact(name, links, state, trust, plain)
        had = set(before.state.devices) if before and before.state else set()
        added = [device for device in state.devices if device not in had]
        removed = [device for device in had if device not in state.devices]
        was = before.state.revoked if before and before.state else frozenset()
        passing = sorted(state.revoked - was - had)
        return Learned(contact, added, removed, passing, restarted, is_new=not known)

    def trust(self, name: str, trust: Trust) -> bool:
        """Keep what the user knows; False if there is no such contact."""
        changed = self._sql.execute("UPDATE contacts SET trust = ? WHERE name = ?", (trust, name))
        return changed.rowcount > 0

    def forget(self, name: str) -> None:
        """Let go of a chain, and of what the user knew of it: the next one is the first one."""
        self._sql.execute(_FORGET, (Trust.FIRST, name))

    def allow_plain(self, name: str, *, allowed: bool) -> None:
        """Keep whether texts may come and go that are not sealed."""
        self._sql.execute(_ALLOW, (name, allowed))


def _verified(before: Contact | None, links: list[Link], name: str) -> ChainState:
    """Verify a chain that has to continue what is known; of that nothing is verified again.

    Raises:
        ChainInvalid: it is not valid, or not the one that is pinned.
    """
    if before is None or before.state is None:
        return chain.verify_chain(links, name)
    known = before.links
    if links[: len(known)] == known:
        return chain.extend_all(before.state, links[len(known) :])
    state = chain.verify_chain(links, name)
    chain.check_continues(links, known[-1].seq, link_hash(known[-1]))
    return state


def _joined(known: list[Link], shown: Sequence[Link]) -> list[Link]:
    """Put what was shown behind what is known; a whole chain, or what follows.

    Raises:
        ChainInvalid: nothing fits together.
    """
    if not shown:
        raise ChainInvalid("the chain has no links", reason="empty", seq=0)
    first = shown[0].seq
    if first > len(known):
        raise ChainInvalid("links are left out", reason="seq", seq=first)
    joined = [*known[:first], *shown]
    # What was shown again has to be what it was: the pin alone stands for the end of the known.
    if len(joined) < len(known):
        raise ChainInvalid("the chain is shorter than before", reason="rolled_back", seq=first)
    return joined
