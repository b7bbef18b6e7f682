"""Everything that one account keeps in its database, seen from one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.account_record import AccountRecord, read_account, write_account
from jim.client.device_store import DeviceStore
from jim.client.encryption.vault import NewVault, Vault
from jim.client.handing import HandingStore
from jim.client.rotated import RotatingStore
from jim.client.trust_store import TrustStore
from jim.crypto.keys import NO_KEYS, EncryptionKeys

if TYPE_CHECKING:
    import sqlite3

    from jim.protocol.messages import PublicKey


class AccountStore(HandingStore, DeviceStore, TrustStore, RotatingStore):
    """The store of an account together with the row that says whose it is."""

    def __init__(self, connection: sqlite3.Connection, key: bytes | None = None) -> None:
        """Take an open database, and what opens its vault; a new account begins with `begin`."""
        record = read_account(connection)
        self._connection = connection
        name, device = (record.name, record.device) if record else ("", "")
        super().__init__(connection, name, device, key)

    def _be(self, name: str, device: str, key: bytes | None) -> None:
        self._key = key
        super()._be(name, device, key)

    def unlock(self, key: bytes) -> None:
        """Open the vault from now on: this process has become the owner.

        The one before may have made another device of this store.
        """
        record = self.record()
        name, device = (record.name, record.device) if record else (self._name, self._device)
        self._be(name, device, key)

    def record(self) -> AccountRecord | None:
        """Read whose store this is, None if it is new."""
        return read_account(self._connection)

    def begin(self, record: AccountRecord, vault: NewVault, now_ms: int) -> AccountRecord:
        """Keep what the account begins with; keys that are here already stay what they are.

        Another device may have added them to the chain by now, whatever the user begins instead.
        """
        write_account(self._connection, record)
        if Vault.fallback(self._connection) is None:
            Vault.begin(self._connection, vault, now_ms)
        self._be(record.name, record.device, self._key)
        return record

    def encryption_keys(self) -> EncryptionKeys:
        """Read the public keys of this device's encryption, none without a vault."""
        has_some = self._vault is not None and self.fallback() is not None
        return self._vault.account().keys if self._vault is not None and has_some else NO_KEYS

    def fallback(self) -> PublicKey | None:
        """Read the fallback key that goes to the server with this device's link."""
        return Vault.fallback(self._connection)

    def save(self, record: AccountRecord) -> None:
        """Keep a changed record."""
        write_account(self._connection, record)

    def checkpoint(self) -> None:
        """Empty the write-ahead log, which still holds what was deleted."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
