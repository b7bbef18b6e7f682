"""A device's account as the client has it, with its keys in memory instead of in files.

Everything but the files is the client's own code: that the key of a new device is durable before
anything else is what `Machine` stands for, and unit_tests/client tries it with files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.accounts import Account
from reliability.sealed.disk import NOWHERE

if TYPE_CHECKING:
    from jim.crypto.keys import SigningKey
    from reliability.sealed.client import Client
    from reliability.sealed.machine import Machine


class Papers(Account):
    """The account of one process."""

    def __init__(self, machine: Machine, client: Client) -> None:
        """Take up what is on the disk; `client` is the way to the store."""
        super().__init__(NOWHERE, machine.name, "en")
        self._machine, self._key = machine, machine.key
        self.writer = client  # type: ignore[assignment]
        record = machine.disk.store.record()
        assert record is not None
        self.record = record

    def _next_key(self, *, anew: bool) -> SigningKey:
        return self._machine.next_key(anew=anew)

    async def _take_next_key(self, key: SigningKey) -> None:
        self._machine.become(key)
        self._key = key
