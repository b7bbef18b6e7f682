"""A machine: its key and its disk, which outlive the processes that work with them.

It is one device, and becomes another one where the client replaces that (`jim.client.rotation`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.account_record import AccountRecord, Stage
from jim.client.encryption.vault import new_vault
from jim.client.rotated import NEVER
from jim.crypto.keys import SigningKey, device_id
from jim.crypto.transcript import link_hash
from reliability.sealed.client import Client
from reliability.sealed.disk import Disk

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from jim.protocol.messages import Link
    from reliability.sealed.server import Server


class Network:
    """What stands between a device and the server; it loses what it is told to."""

    def __init__(self) -> None:
        self._asked = 0
        self._at = 0
        self._what = ""
        self.lost = 0

    def lose_soon(self, questions: int, what: str) -> None:
        """Lose the so-manieth exchange from now: its `question` or its `answer`."""
        self._at, self._what = self._asked + questions, what

    def loses(self) -> str:
        """Tell what of the next exchange is lost, empty for nothing."""
        self._asked += 1
        if self._asked != self._at:
            return ""
        self.lost += 1
        return self._what

    def heal(self) -> None:
        """Lose nothing more."""
        self._at = 0


class Machine:
    """One device, those that were here before it, and the process that runs here now."""

    def __init__(self, server: Server, name: str, chance: random.Random) -> None:
        """Make a device and its store; it is in no chain yet."""
        self.server, self.name = server, name
        self._chance = chance
        self.key = SigningKey(chance.randbytes(32))
        self.device = device_id(self.key.public)
        self.vault = new_vault(self.key, self.device)
        self.disk = Disk(self.key, self.device)
        self.network = Network()
        self.saved: bytes | None = None
        self.former: list[str] = []
        """The devices that this machine was before."""
        self.asked: set[str] = set()
        """The devices that were known when this machine became another one: it has asked them."""
        self._next_key: SigningKey | None = None
        self.is_out = False
        """Taken out of its account."""
        record = AccountRecord(name=name, device=self.device, stage=Stage.REGISTERED)
        self.disk.change(lambda store: store.begin(record, self.vault, server.now_ms))
        self.client = Client(self, server)

    def __str__(self) -> str:
        return f"{self.name}/{self.device}"

    def joined(self, link: Link) -> None:
        """Pin the chain at the link that this device is in it by."""
        record = AccountRecord(
            name=self.name,
            device=self.device,
            stage=Stage.REGISTERED,
            chain_seq=link.seq,
            chain_head=link_hash(link),
        )
        self.disk.change(lambda store: store.save(record))

    def start(self) -> None:
        """Begin a new process after the one before is gone."""
        self.server.book.trace.append(f"{self} begins a new process")
        self.server.gone(self.device)
        self.disk.reopen(self.key)
        record = self.disk.store.record()
        key = self._next_key
        if key is not None and record is not None and record.device == device_id(key.public):
            self.become(key)  # as `renewal.settle` does
            self.disk.reopen(key)
        self.client = Client(self, self.server)

    # --- becoming another device ------------------------------------------------------------------

    def next_key(self, *, anew: bool) -> SigningKey:
        """Give the key of the device that takes the place of this one; durable at once."""
        if self._next_key is None or anew:
            self._next_key = SigningKey(self._chance.randbytes(32))
        return self._next_key

    def become(self, key: SigningKey) -> None:
        """Be the device of a key, as the store is already."""
        self.former.append(self.device)
        self.key, self._next_key = key, None
        self.device = device_id(key.public)
        self.saved = None  # of another device
        self.asked = set(self._known())
        self.server.book.replaced(self)

    def _known(self) -> Iterator[str]:
        """Give all devices in the chains that the store has."""
        contacts = self.disk.store._contacts  # noqa: SLF001 - what it knows is not told
        for (name,) in self.disk.rows("SELECT name FROM contacts"):
            contact = contacts.get(name)
            yield from contact.state.devices if contact and contact.state else ()

    @property
    def is_becoming(self) -> bool:
        """Whether this goes on as another device even if the present one is taken out."""
        noted = self.disk.store.rotation()
        return noted is not None and noted.last_n != NEVER
