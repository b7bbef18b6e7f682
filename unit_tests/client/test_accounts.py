from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.client.account_record import Stage
from jim.client.accounts import Account
from jim.client.encryption.vault import pickle_key
from jim.client.local_accounts import KEY_FILE
from jim.client.rotated import Rotation
from jim.crypto import chain, words
from jim.crypto.keys import SigningKey, device_id
from jim.errors import AccountInUse, KeyFileError

if TYPE_CHECKING:
    from pathlib import Path

SERVER = SigningKey(b"s" * 32).public
OTHER = SigningKey(b"o" * 32).public


async def opened(directory: Path, *, recovering: bool = False, share: bool = False) -> Account:
    account = Account(directory, "alice", "ru")
    try:
        account.prepare(share=share)
        await account.open(recovering=recovering)
    except BaseException:
        await account.aclose()
        raise
    return account


async def test_a_new_account_has_a_genesis_that_its_words_can_recover(tmp_path: Path) -> None:
    account = await opened(tmp_path / "alice")
    record = account.record
    assert record.stage is Stage.REGISTERING
    assert record.link is not None
    assert record.words is not None
    state = chain.verify_chain([record.link], "alice")
    assert state.recovery_key == words.parse_words(record.words).public
    assert list(state.devices) == [record.device] == [device_id(account.key.public)]
    await account.aclose()
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "alice").iterdir()
    }
    assert modes == {"device.key": 0o600, "store.db": 0o600, "lock": 0o600}


async def test_it_goes_on_with_the_same_keys_link_and_words(tmp_path: Path) -> None:
    first = await opened(tmp_path / "alice")
    await first.aclose()
    second = await opened(tmp_path / "alice")
    assert second.record == first.record
    assert second.key.public == first.key.public
    await second.aclose()


async def test_a_recovery_replaces_a_registration_that_never_came_about(tmp_path: Path) -> None:
    first = await opened(tmp_path / "alice")
    await first.aclose()
    second = await opened(tmp_path / "alice", recovering=True)
    assert (second.record.stage, second.record.words) == (Stage.ENROLLING, None)
    assert second.record.device == first.record.device
    await second.aclose()


async def test_an_account_has_one_owner(tmp_path: Path) -> None:
    owner = await opened(tmp_path / "alice")
    with pytest.raises(AccountInUse):
        await opened(tmp_path / "alice")
    guest = await opened(tmp_path / "alice", share=True)
    assert (guest.is_owner, guest.record) == (False, owner.record)
    with pytest.raises(AccountInUse):
        _ = guest.key
    assert not guest.take_over()
    await owner.aclose()
    assert guest.take_over()
    assert guest.is_owner
    await guest.aclose()


async def test_who_takes_over_goes_on_where_the_owner_died(tmp_path: Path) -> None:
    """It died between giving the store to its next device and giving that one's key its name."""
    place = tmp_path / "alice"
    owner = await opened(place)
    waiting = await opened(place, share=True)
    await owner.writer.write(lambda store: store.keep_rotation(Rotation(why="restored")))
    key, vault = await owner.next_device()
    record = msgspec.structs.replace(owner.record, device=device_id(key.public))
    opens = pickle_key(key)
    await owner.writer.write(lambda store: store.become(record, vault, opens, 1))
    await owner.aclose()
    assert waiting.take_over()
    await waiting.refresh()
    assert waiting.record.device == device_id(waiting.key.public) == device_id(key.public)
    keys, _ = await waiting.public_keys()
    assert keys.ed, "its vault is open"
    assert sorted(path.name for path in place.glob("device.key*")) == [KEY_FILE]
    await waiting.aclose()


async def test_a_lost_or_foreign_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    account = await opened(tmp_path / "alice")
    await account.aclose()
    key = tmp_path / "alice" / "device.key"
    original = key.read_bytes()
    key.unlink()
    with pytest.raises(KeyFileError):
        await opened(tmp_path / "alice")
    assert not key.exists()
    stranger = await opened(tmp_path / "bob")
    await stranger.aclose()
    key.write_bytes((tmp_path / "bob" / "device.key").read_bytes())
    key.chmod(0o600)
    with pytest.raises(KeyFileError, match="not the key of this account"):
        await opened(tmp_path / "alice")
    key.write_bytes(original)
    key.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod"):
        await opened(tmp_path / "alice")


async def test_words_are_erased_and_stay_erased(tmp_path: Path) -> None:
    account = await opened(tmp_path / "alice")
    before = account.record
    await account.forget_words()
    await account.save(before)
    assert account.record.words is None
    await account.aclose()
    again = await opened(tmp_path / "alice")
    assert again.record.words is None
    await again.aclose()
