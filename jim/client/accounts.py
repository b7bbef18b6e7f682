"""An account of this machine, opened by exactly one process: its key and its record."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from jim.client import local_accounts, renewal
from jim.client.account_record import AccountRecord, Stage
from jim.client.account_store import AccountStore
from jim.client.encryption.vault import NewVault, new_vault, pickle_key
from jim.client.key_opener import KeyOpener
from jim.client.local_accounts import KEY_FILE, LOCK_FILE, STORE_FILE
from jim.client.lock import FileLock
from jim.client.rotated import Rotation
from jim.client.schema import open_database
from jim.client.translate import store_errors
from jim.client.writer import Writer
from jim.common.files import make_directory
from jim.crypto import links, words
from jim.crypto.keys import EncryptionKeys, SigningKey, device_id
from jim.errors import AccountExists, AccountInUse, KeyFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jim.client.events import Message
    from jim.client.sync import Settled
    from jim.protocol.messages import Link, PublicKey


class Account:
    """An open account: its key, its record, and the thread that works with its store."""

    def __init__(
        self, directory: Path, name: str, language: str, opener: KeyOpener | None = None
    ) -> None:
        """Take where the account lives, its normalised name, and the language of new words.

        `opener` opens a key that a passphrase seals.
        """
        self.name = name
        self.writer: Writer[AccountStore]
        self.record: AccountRecord
        self.must_renew = False
        """Whether who brings the account back by its words needs another device than this."""
        self._directory = directory
        self._language = language
        self.is_new = False
        """Nothing was there of it when it was prepared."""
        self._lock = FileLock(directory / LOCK_FILE)
        self._key: SigningKey | None = None
        self._opener = opener or KeyOpener()

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
        self.is_new = not store.exists() and not (self._directory / KEY_FILE).exists()
        with store_errors(self._directory):
            make_directory(self._directory)
            if self._lock.acquire():
                self._key = self._load_key(may_create=not store.exists())
            elif not share or not store.exists():
                raise AccountInUse(f"{self._directory}: another client already works with it")

    def take_over(self) -> bool:
        """Become the owner if the other process is gone; tell whether we are. Blocks.

        Raises:
            KeyFileError: the device's key cannot be used.
            StoreError: the directory cannot be written.
        """
        if not self._lock.acquire():
            return False
        with store_errors(self._directory):
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
        """Read the key of the device that the store belongs to, whatever a crash has left."""
        path = self._directory / KEY_FILE
        renewal.settle(path, self._directory / STORE_FILE)
        return self._opener.read_or_make(path) if may_create else self._opener.read(path)

    async def open(
        self, *, recovering: bool = False, resetting: bool = False, linking: bool = False
    ) -> None:
        """Open the store and find out how far the account has come, or begin it.

        With `linking` it begins as a device that another one of the account has to take in. With
        `recovering` a device that is here already stays what it is (`must_renew`).

        Raises:
            AccountExists: (with `linking`) this machine has a device of the account that is not
                known to have been taken out.
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
        is_out = record is not None and await self.writer.read(lambda store: store.is_revoked())
        if linking and record is not None and not (is_out or _is_unfinished(record)):
            raise AccountExists(f"{self._directory}: this device is in the account already")
        if self.is_owner and _must_begin(
            record, recovering=recovering, resetting=resetting, linking=linking
        ):
            begun, vault = await asyncio.to_thread(
                self._begin, recovering=recovering, resetting=resetting, linking=linking
            )
            record = await self.writer.write(lambda store: store.begin(begun, vault, _now_ms()))
        elif self.is_owner and record is not None and linking and is_out:
            record = await self.wait_anew()
        if record is None:
            raise AccountInUse(f"{self._directory}: another client is just making it")
        self.record = record
        self.must_renew = recovering and self._must_renew(is_out=is_out, resetting=resetting)
        if self.is_owner and record.device != device_id(self.key.public):
            detail = f"{self._directory / KEY_FILE}: this is not the key of this account"
            raise KeyFileError(detail, reason="mismatch")

    def _must_renew(self, *, is_out: bool, resetting: bool) -> bool:
        """Tell whether who brings the account back by its words needs another device than this.

        Words that nobody has seen are those of a reset that has begun, or is done: never may they
        get lost, for the account may know no others any more.
        """
        if resetting:
            return self.record.words is None
        return self.record.stage is Stage.REGISTERED and is_out

    async def renew(self, *, resetting: bool) -> None:
        """Put a new device in the place of the one here, which the words will bring in.

        Not before the server has taken these words for right: the old device is gone with it.
        """
        # What shows that a reset has been done is its device: no chain has that one before.
        key, vault = await self.next_device(anew=resetting)
        begun = msgspec.structs.replace(
            self._enrolling(device_id(key.public), resetting=resetting),
            chain_seq=self.record.chain_seq,
            chain_head=self.record.chain_head,
        )
        await self._become(begun, key, vault)
        self.must_renew = False

    async def wait_anew(self) -> AccountRecord:
        """Be another device that waits to be linked: the one here was taken out of the account."""
        key, vault = await self.next_device(anew=True)
        waiting = AccountRecord(name=self.name, device=device_id(key.public), stage=Stage.LINKING)
        await self._become(waiting, key, vault)
        return waiting

    def _enrolling(self, device: str, *, resetting: bool) -> AccountRecord:
        """Give the record of a device that the twelve words are going to bring into the account."""
        line = words.new_words(self._language) if resetting else None
        return AccountRecord(name=self.name, device=device, stage=Stage.ENROLLING, words=line)

    def _begin(
        self, *, recovering: bool = False, resetting: bool = False, linking: bool = False
    ) -> tuple[AccountRecord, NewVault]:
        """Make what a device begins with: keys, and words and a genesis link for a new account.

        Who resets an account has new words too; the link for that needs the chain that is there.
        """
        device = device_id(self.key.public)
        vault = new_vault(self.key, device)
        if linking:
            return AccountRecord(name=self.name, device=device, stage=Stage.LINKING), vault
        if recovering:
            return self._enrolling(device, resetting=resetting), vault
        line = words.new_words(self._language)
        recovery = words.parse_words(line).public
        genesis = links.make_genesis(self.name, self.key, recovery, _now_ms(), vault.keys)
        record = AccountRecord(
            name=self.name, device=device, stage=Stage.REGISTERING, link=genesis, words=line
        )
        return record, vault

    # --- another device in place of this one ----------------------------------------------------

    async def next_device(self, *, anew: bool = False) -> tuple[SigningKey, NewVault]:
        """Give the keys of the device that will take the place of this one; `anew` no earlier ones.

        The first is durable, and the second too if the device is noted as one to be replaced.

        Raises:
            KeyFileError: the new key cannot be written or read.
            StoreError: an earlier one cannot be removed.
        """
        key = await asyncio.to_thread(self._next_key, anew=anew)
        device = device_id(key.public)
        noted = await self.writer.read(lambda store: store.rotation())
        if noted is not None and noted.device == device and noted.vault is not None:
            return key, noted.vault
        vault = await asyncio.to_thread(new_vault, key, device)
        if noted is not None:
            changed = Rotation(why=noted.why, device=device, vault=vault)
            await self.writer.write(lambda store: store.keep_rotation(changed))
        return key, vault

    def _next_key(self, *, anew: bool) -> SigningKey:
        path = renewal.next_path(self._directory / KEY_FILE)
        if anew:
            with store_errors(path):
                path.unlink(missing_ok=True)
        return self._opener.read_or_make(path)

    async def note_rotation(self, last_n: int, last_mark: str) -> None:
        """Keep what the server had of the old device, before that is taken out."""

        def note(store: AccountStore) -> None:
            if (noted := store.rotation()) is not None:
                store.keep_rotation(
                    msgspec.structs.replace(noted, last_n=last_n, last_mark=last_mark)
                )

        await self.writer.write(note)

    async def become_next(self, settled: Settled, links: Sequence[Link]) -> list[Message]:
        """Be the new device from now on; gives the messages that were decided about."""
        key, vault = await self.next_device()
        record = await self.writer.read(lambda store: store.record()) or self.record
        changed = msgspec.structs.replace(record, device=device_id(key.public))
        return await self._become(changed, key, vault, settled, links)

    async def _become(
        self,
        record: AccountRecord,
        key: SigningKey,
        vault: NewVault,
        settled: Settled | None = None,
        links: Sequence[Link] = (),
    ) -> list[Message]:
        """Make store and key those of another device, in this order; `RotatingStore.become`."""
        opens, now_ms = pickle_key(key), _now_ms()
        decided = await self.writer.write(
            lambda store: store.become(record, vault, opens, now_ms, settled, links)
        )
        await self._take_next_key(key)
        await self.refresh()
        return decided

    async def _take_next_key(self, key: SigningKey) -> None:
        """Put the key of the new device into its place: the store is that device already."""
        path = self._directory / KEY_FILE
        with store_errors(path):
            await asyncio.to_thread(renewal.take, path)
        self._key = key

    async def save(self, record: AccountRecord) -> None:
        """Keep a changed record durably; the words stay what they are now.

        Only before the account is there they are those of the record: nobody can have seen them.
        """
        changed = record
        if record.stage is not Stage.ENROLLING:
            changed = msgspec.structs.replace(record, words=self.record.words)
        await self.writer.write(lambda store: store.save(changed))
        self.record = changed

    async def learn_own(self, made: Sequence[Link]) -> None:
        """Pin links of our own device chain that this device has made."""
        await self.writer.write(lambda store: store.learn_own(made))
        await self.pin_own()

    async def pin_own(self) -> None:
        """Take our own chain as the next login has to find it: what is known now is no news."""
        own = await self.writer.read(lambda store: store.own_chain())
        if own is not None and own.state is not None and own.seq > self.record.chain_seq:
            end = {"chain_seq": own.seq, "chain_head": own.state.head}
            await self.save(msgspec.structs.replace(self.record, **end))

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

    async def discard(self) -> None:
        """Close what nobody else knows of, and remove it from the disk; only its owner does that.

        What cannot be removed stays, and is as good as before.
        """
        if hasattr(self, "writer"):
            await self.writer.aclose()
        local_accounts.remove_files(self._directory)
        self._lock.release()
        local_accounts.remove_directory(self._directory)


def _now_ms() -> int:
    return int(time.time() * 1000)


def _is_unfinished(record: AccountRecord) -> bool:
    """Tell whether a device can still become one to be linked.

    A registration that never came to its end is what somebody leaves behind who has tried the name
    on a new machine first; one that did is the account itself. So is a recovery of which a link has
    been made: it may have been sent.
    """
    if record.stage is Stage.ENROLLING:
        return record.link is None
    return record.stage in {Stage.LINKING, Stage.REGISTERING}


def _must_begin(
    record: AccountRecord | None, *, recovering: bool, resetting: bool, linking: bool
) -> bool:
    """Tell whether there is no record, or one of something that is not gone on with.

    A device that waits to be linked may have been added unheard: it cannot be that of a reset.
    """
    if record is None:
        return True
    if linking:
        return record.stage is not Stage.LINKING and _is_unfinished(record)
    if resetting:
        return record.stage is Stage.REGISTERING
    return recovering and record.stage in {Stage.LINKING, Stage.REGISTERING}
