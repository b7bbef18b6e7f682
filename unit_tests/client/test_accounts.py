"""Directories, keys, locks, known servers: what lies on the disk, and who may use it."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jim.client.account_record import Stage
from jim.client.accounts import (
    KEY_FILE,
    Account,
    account_directory,
    choose_account,
    default_data_dir,
    known_accounts,
)
from jim.client.address import Address
from jim.client.encryption.vault import pickle_key
from jim.client.known_servers import KnownServer, KnownServers
from jim.client.lock import FileLock
from jim.client.rotated import Rotation
from jim.client.sync import Settled
from jim.crypto import chain, words
from jim.crypto.keys import SigningKey, device_id, format_pin
from jim.errors import AccountInUse, AccountMissing, KeyFileError

ROOT = Path(__file__).resolve().parents[2]
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
    key, _ = await owner.next_device()
    settled = Settled([], [], 0)
    await owner.writer.write(lambda store: store.rotate(settled, [], pickle_key(key), 1))
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


# --- which account --------------------------------------------------------------------------------


def remember(data: Path, *addresses: str, server: bytes = SERVER) -> None:
    for address in addresses:
        KnownServers(data).remember(Address.parse(address), "pin", server)


def put(data: Path, name: str, server: bytes = SERVER) -> None:
    directory = account_directory(data, server, name)
    directory.mkdir(parents=True)
    (directory / "store.db").touch()


def test_the_one_account_there_is(tmp_path: Path) -> None:
    with pytest.raises(AccountMissing, match="no such"):
        choose_account(None, None, tmp_path)
    remember(tmp_path, "a.example", "b.example")
    put(tmp_path, "alice")
    (account,) = known_accounts(tmp_path)
    assert (str(account.address), account.name) == ("a.example:7777", "alice")
    assert choose_account(None, "Alice", tmp_path) == account
    assert choose_account(Address("b.example"), None, tmp_path) == account
    for address, name in ((Address("c.example"), None), (None, "bob")):
        with pytest.raises(AccountMissing):
            choose_account(address, name, tmp_path)


def test_several_accounts_want_a_choice(tmp_path: Path) -> None:
    remember(tmp_path, "a.example")
    remember(tmp_path, "z.example", server=OTHER)
    put(tmp_path, "alice")
    put(tmp_path, "bob")
    put(tmp_path, "alice", OTHER)
    with pytest.raises(AccountMissing, match=r"alice at a\.example:7777, bob at .*, alice at z"):
        choose_account(None, None, tmp_path)
    assert choose_account(None, "bob", tmp_path).name == "bob"
    assert str(choose_account(Address("z.example"), "alice", tmp_path).address) == "z.example:7777"


def test_where_everything_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_data_dir().name == "jim"
    monkeypatch.setenv("JIM_DATA_DIR", str(tmp_path))
    assert default_data_dir() == tmp_path


# --- known servers --------------------------------------------------------------------------------


def test_a_server_is_remembered_as_a_readable_line(tmp_path: Path) -> None:
    servers = KnownServers(tmp_path)
    assert servers.all() == []
    servers.remember(Address("::1", 9), "ca", SERVER)
    assert (tmp_path / "known_servers").read_text() == f"[::1]:9 ca {format_pin(SERVER)}\n"
    assert servers.find(Address("0:0::1", 9)) == KnownServer("[::1]:9", "ca", SERVER)


def test_what_is_known_never_becomes_weaker(tmp_path: Path) -> None:
    servers, address = KnownServers(tmp_path), Address("jim.example")
    servers.remember(address, "pin", SERVER)
    servers.remember(address, "ca", OTHER)
    assert servers.all() == [KnownServer("jim.example:7777", "pin", SERVER)]
    servers.remember(address, "ca", SERVER)
    servers.remember(address, "pin", SERVER)
    assert servers.all() == [KnownServer("jim.example:7777", "ca", SERVER)]


def test_people_may_write_comments_into_it(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    path.write_text(f"# at home\n\nhome:1 pin {format_pin(SERVER).upper()}\n")
    path.chmod(0o600)
    assert [known.server_id for known in KnownServers(tmp_path).all()] == [SERVER]


@pytest.mark.parametrize("line", ["host:1 pin", "host:1 tofu aaaa", "host:1 pin aaaa", "x"])
def test_a_damaged_line_is_shown(tmp_path: Path, line: str) -> None:
    path = tmp_path / "known_servers"
    path.write_text(line + "\n")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="damaged"):
        KnownServers(tmp_path).all()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    path.touch(mode=0o600)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod"):
        KnownServers(tmp_path).all()


def test_servers_met_at_the_same_time_are_all_remembered(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda port: remember(tmp_path, f"jim.example:{port}"), range(1, 41)))
    assert len(KnownServers(tmp_path).all()) == 40


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from jim.client.lock import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); print(lock.acquire(), flush=True); input()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        mine = FileLock(tmp_path / "lock")
        assert not mine.acquire()
        holder.kill()
        holder.wait()
        assert mine.acquire()
        mine.release()
        mine.release()
