"""Where accounts live on this machine, and how one of them is opened by exactly one process.

    <data>/known_servers
    <data>/accounts/<server's short fingerprint>/<name>/device.key, store.db, lock

An account belongs to a server's identity, not to its address: a server that moves keeps them.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import platformdirs
from msgspec import Struct

from jim.client.account_record import AccountRecord, Stage, read_account, write_account
from jim.client.address import Address
from jim.client.encryption.vault import NewVault, Vault, new_vault, pickle_key
from jim.client.known_servers import KnownServers
from jim.client.lock import FileLock
from jim.client.mailbox import MailboxStore
from jim.client.schema import open_database
from jim.client.translate import store_errors
from jim.client.writer import Writer
from jim.core.names import normalise
from jim.crypto import key_files, links, words
from jim.crypto.keys import (
    NO_KEYS,
    EncryptionKeys,
    SigningKey,
    device_id,
    fingerprint,
    short_fingerprint,
)
from jim.errors import AccountInUse, AccountMissing, KeyFileError

if TYPE_CHECKING:
    import sqlite3

    from jim.protocol.messages import PublicKey

DATA_DIR_VARIABLE: Final = "JIM_DATA_DIR"
ACCOUNTS: Final = "accounts"
KEY_FILE: Final = "device.key"
STORE_FILE: Final = "store.db"
LOCK_FILE: Final = "lock"


class KnownAccount(Struct, frozen=True):
    """An account on this machine, with one address under which its server was met."""

    address: Address
    name: str
    fingerprint: str


def default_data_dir() -> Path:
    """Give where everything is kept unless somebody says otherwise."""
    chosen = os.environ.get(DATA_DIR_VARIABLE)
    return Path(chosen) if chosen else platformdirs.user_data_path("jim", appauthor=False)


def account_directory(data_dir: Path, server_id: bytes, name: str) -> Path:
    """Give where an account lives; `name` is normalised, so it is one harmless path component."""
    return data_dir / ACCOUNTS / short_fingerprint(server_id) / name


def account_directories(data_dir: Path) -> list[Path]:
    """List where accounts are, or were: of each at least the key or the store is still there."""
    folder = data_dir / ACCOUNTS
    found = {path.parent for file in (KEY_FILE, STORE_FILE) for path in folder.glob(f"*/*/{file}")}
    return sorted(found)


def known_accounts(data_dir: Path | None = None) -> list[KnownAccount]:
    """List the accounts of this machine, servers in the order in which they were met.

    Raises:
        KeyFileError: the file of known servers cannot be used.
    """
    data_dir = data_dir or default_data_dir()
    found: dict[Path, KnownAccount] = {}
    for server in KnownServers(data_dir).all():
        folder = data_dir / ACCOUNTS / short_fingerprint(server.server_id)
        for store in sorted(folder.glob(f"*/{STORE_FILE}")):
            account = KnownAccount(
                Address.parse(server.address), store.parent.name, fingerprint(server.server_id)
            )
            found.setdefault(store.parent, account)
    return list(found.values())


def choose_account(
    address: Address | None, name: str | None, data_dir: Path | None = None
) -> KnownAccount:
    """Give the one account that the address and the name, as far as given, leave.

    Raises:
        AccountMissing: there is none, or several.
        NameInvalid: the name cannot be one.
    """
    wanted = None if name is None else normalise(name)
    folder = data_dir or default_data_dir()
    known = None if address is None else KnownServers(folder).find(address)
    fitting = [
        account
        for account in known_accounts(folder)
        if wanted in {None, account.name}
        and (address is None or (known and fingerprint(known.server_id) == account.fingerprint))
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise AccountMissing("this machine has no such account", reason="none")
    names = ", ".join(f"{account.name} at {account.address}" for account in fitting)
    raise AccountMissing(f"which account? {names}", reason="several")


class Account:
    """An open account: its key, its record, and the thread that works with its store."""

    def __init__(self, directory: Path, name: str, language: str) -> None:
        """Take where the account lives, its normalised name, and the language of new words."""
        self.name = name
        self.writer: Writer[AccountStore]
        self.record: AccountRecord
        self._directory = directory
        self._language = language
        self._lock = FileLock(directory / LOCK_FILE)
        self._key: SigningKey | None = None

    @property
    def key(self) -> SigningKey:
        """The device's key; only its owner has it."""
        if self._key is None:
            raise AccountInUse
        return self._key

    @property
    def is_owner(self) -> bool:
        """Whether this process is the one that talks to the server."""
        return self._key is not None

    def prepare(self, *, share: bool) -> None:
        """Take the account over, or with `share` make do with its store. Blocks.

        Raises:
            AccountInUse: another process has it (and its store is not there yet, with `share`).
            KeyFileError: the device's key cannot be used.
            StoreError: the directory cannot be written.
        """
        store = self._directory / STORE_FILE
        with store_errors(self._directory):
            key_files.make_directory(self._directory)
            if self._lock.acquire():
                self._key = self._load_key(may_create=not store.exists())
            elif not share or not store.exists():
                raise AccountInUse(f"{self._directory}: another client already works with it")

    def take_over(self) -> bool:
        """Become the owner if the other process is gone; tell whether we are. Blocks.

        Raises:
            KeyFileError: the device's key cannot be used.
        """
        if not self._lock.acquire():
            return False
        self._key = self._load_key(may_create=False)
        return True

    async def refresh(self) -> None:
        """Read the record again, which another process may have changed, and open the vault."""
        if self._key is not None:
            key = pickle_key(self._key)
            await self.writer.read(lambda store: store.unlock(key))
        record = await self.writer.read(lambda store: store.record())
        if record is not None:
            self.record = record

    def _load_key(self, *, may_create: bool) -> SigningKey:
        path = self._directory / KEY_FILE
        return key_files.load_or_create(path) if may_create else key_files.read_key(path)

    async def open(self, *, recovering: bool) -> None:
        """Open the store and find out how far the account has come, or begin it.

        Raises:
            StoreError: the store cannot be used.
            KeyFileError: the key is not the one of this account.
        """
        path = self._directory / STORE_FILE
        key = None if self._key is None else pickle_key(self._key)
        self.writer = Writer(
            path,
            lambda: open_database(path, create=self.is_owner),
            lambda connection: AccountStore(connection, key),
        )
        await self.writer.start()
        record = await self.writer.read(lambda store: store.record())
        if self.is_owner and _must_begin(record, recovering=recovering):
            begun, vault = await asyncio.to_thread(self._begin, recovering=recovering)
            record = await self.writer.write(lambda store: store.begin(begun, vault, _now_ms()))
        if record is None:
            raise AccountInUse(f"{self._directory}: another client is just making it")
        self.record = record
        if self.is_owner and record.device != device_id(self.key.public):
            detail = f"{self._directory / KEY_FILE}: this is not the key of this account"
            raise KeyFileError(detail, reason="mismatch")

    def _begin(self, *, recovering: bool) -> tuple[AccountRecord, NewVault]:
        """Make what a new account begins with: keys, and a genesis link and words for a new one."""
        device = device_id(self.key.public)
        vault = new_vault(self.key, device)
        if recovering:
            record = AccountRecord(name=self.name, device=device, stage=Stage.ENROLLING)
            return record, vault
        line = words.new_words(self._language)
        recovery = words.parse_words(line).public
        genesis = links.make_genesis(self.name, self.key, recovery, _now_ms(), vault.keys)
        record = AccountRecord(
            name=self.name, device=device, stage=Stage.REGISTERING, link=genesis, words=line
        )
        return record, vault

    async def save(self, record: AccountRecord) -> None:
        """Keep a changed record durably; the words stay what they are now."""
        changed = msgspec.structs.replace(record, words=self.record.words)
        await self.writer.write(lambda store: store.save(changed))
        self.record = changed

    async def public_keys(self) -> tuple[EncryptionKeys, PublicKey | None]:
        """Read the public keys of this device's encryption, for its link."""
        return await self.writer.read(lambda store: (store.encryption_keys(), store.fallback()))

    async def forget_words(self) -> None:
        """Erase the recovery words for good."""
        self.record = msgspec.structs.replace(self.record, words=None)
        await self.save(self.record)
        await self.writer.read(lambda store: store.checkpoint())

    async def aclose(self) -> None:
        """Close the store and let go of the account."""
        if hasattr(self, "writer"):
            await self.writer.aclose()
        self._lock.release()


class AccountStore(MailboxStore):
    """The store of an account together with the row that says whose it is."""

    def __init__(self, connection: sqlite3.Connection, key: bytes | None = None) -> None:
        """Take an open database, and what opens its vault; a new account begins with `begin`."""
        record = read_account(connection)
        self._key = key
        self._connection = connection
        name, device = (record.name, record.device) if record else ("", "")
        super().__init__(connection, name, device, key)

    def unlock(self, key: bytes) -> None:
        """Open the vault from now on: this process has become the owner."""
        self._key = key
        self._be(self._name, self._device, key)

    def record(self) -> AccountRecord | None:
        """Read whose store this is, None if it is new."""
        return read_account(self._connection)

    def begin(self, record: AccountRecord, vault: NewVault, now_ms: int) -> AccountRecord:
        """Keep what the account begins with."""
        write_account(self._connection, record)
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


def _now_ms() -> int:
    return int(time.time() * 1000)


def _must_begin(record: AccountRecord | None, *, recovering: bool) -> bool:
    """Tell whether there is no record, or one of a registration that a recovery replaces."""
    if record is None:
        return True
    return recovering and record.stage is Stage.REGISTERING
