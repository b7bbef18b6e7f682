"""A device: its key and its disk, which outlive the processes that work with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.account_record import AccountRecord, Stage
from jim.client.encryption.vault import new_vault
from jim.crypto.keys import SigningKey, device_id
from reliability.sealed.client import Client
from reliability.sealed.disk import Disk

if TYPE_CHECKING:
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
    """One device and the process that runs on it now."""

    def __init__(self, server: Server, name: str, seed: bytes) -> None:
        """Make a device and its store; it is in no chain yet."""
        self.server, self.name = server, name
        self.key = SigningKey(seed)
        self.device = device_id(self.key.public)
        self.vault = new_vault(self.key, self.device)
        self.disk = Disk(self.key, self.device)
        self.network = Network()
        self.saved: bytes | None = None
        self.is_out = False
        """Taken out of its account."""
        record = AccountRecord(name=name, device=self.device, stage=Stage.REGISTERED)
        self.disk.change(lambda store: store.begin(record, self.vault, server.now_ms))
        self.client = Client(self, server)

    def __str__(self) -> str:
        return f"{self.name}/{self.device}"

    def start(self) -> None:
        """Begin a new process after the one before is gone."""
        self.server.book.trace.append(f"{self} begins a new process")
        self.server.gone(self.device)
        self.disk.reopen()
        self.client = Client(self, self.server)
