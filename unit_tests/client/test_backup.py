"""A whole account in one sealed file, and back again; what is broken is found before it harms."""

from __future__ import annotations

import asyncio
import contextlib
import io
import shutil
import sqlite3
import tarfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client import restoring
from jim.client.archive import Member, Packing, unpack
from jim.client.backup import MANIFEST, MEMBERS, Manifest, make_backup, words_recipient
from jim.client.events import ROTATED, MissingNotice
from jim.client.known_servers import FILE_NAME as KNOWN_SERVERS
from jim.client.known_servers import KnownServers
from jim.client.local_accounts import KEY_FILE, STORE_FILE, account_directories
from jim.client.restoring import REPLACED, restore
from jim.client.rotated import Rotation, read_rotation, write_rotation
from jim.client.schema import open_database
from jim.crypto import key_files
from jim.crypto.keys import SigningKey
from jim.crypto.sealed_file import Passphrase, seal, unseal
from jim.crypto.words import parse_words
from jim.errors import AccountInUse, BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from unit_tests.client.household import Household
    from unit_tests.client.listening import Listening

OPEN = Passphrase("open sesame")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a recipient's key for the passphrase: what scrypt costs is tested where it belongs."""
    key = SigningKey.generate()

    def quick_seal(source: Any, target: Any, to: Any) -> None:
        assert to == OPEN
        from jim.crypto.sealed_file import recipient

        seal(source, target, recipient(key))

    def quick_unseal(source: Any, target: Any, by: Any) -> None:
        if by != OPEN:
            raise BackupInvalid("", reason="passphrase")
        unseal(source, target, key)

    monkeypatch.setattr("jim.client.backup.seal", quick_seal)
    monkeypatch.setattr("jim.client.restoring.unseal", quick_unseal)


def place_in(folder: Path) -> Path:
    (place,) = account_directories(folder)
    return place


def back_up(folder: Path, target: Path, **options: Any) -> Manifest:
    (server,) = KnownServers(folder).all()
    return make_backup(place_in(folder), server, target, OPEN, **options)


async def talk(house: Household) -> tuple[Listening, Listening]:
    bob, alice = await house.join("bob"), await house.join("alice")
    await alice.client.send("bob", "in the backup")
    await bob.received(1)
    await bob.client.send("alice", "an answer")
    await alice.received(1)
    assert await alice.client.flush(10)
    return bob, alice


async def test_a_backup_made_beside_a_running_client_becomes_a_new_device(
    house: Household, tmp_path: Path
) -> None:
    bob, alice = await talk(house)
    target = tmp_path / "alice.backup"
    heard: list[tuple[int, int]] = []
    made = await asyncio.to_thread(
        back_up, tmp_path / "alice", target, progress=lambda *done: heard.append(done)
    )
    assert made.name == "alice"
    assert target.stat().st_mode & 0o777 == 0o600
    assert heard[-1][0] == heard[-1][1] > 0
    await alice.client.send("bob", "after the backup")
    await bob.received(2)
    await alice.aclose()
    restored = restore(target, OPEN, tmp_path / "new machine")
    assert restored.report.is_complete
    assert restored.replaced is None
    assert not list((tmp_path / "alice").rglob(".jim-*"))
    assert not list((tmp_path / "new machine").rglob(".jim-*"))
    for name in (KEY_FILE, STORE_FILE):
        assert (restored.place / name).stat().st_mode & 0o777 == 0o600
    again = await house.start("alice", "new machine")
    await again.wait(MissingNotice, lambda event: event.code == ROTATED)
    await again.online()
    assert (await again.client._background.account()).record.device != made.device
    await again.client.send("bob", "from the new one")
    wanted = ["in the backup", "after the backup", "from the new one"]
    assert [each.text for each in await bob.received(3)] == wanted
    texts = [each.text for each in await again.client.history("bob")]
    assert texts == ["in the backup", "an answer", "from the new one"]


async def test_nothing_that_is_there_is_overwritten_unless_told(
    house: Household, tmp_path: Path
) -> None:
    _, alice = await talk(house)
    target, folder = tmp_path / "file", tmp_path / "alice"
    back_up(folder, target)
    before = target.read_bytes()
    with pytest.raises(BackupInvalid) as caught:
        back_up(folder, target)
    assert caught.value.fields["reason"] == "exists"
    assert target.read_bytes() == before
    back_up(folder, target, force=True)
    assert target.read_bytes() != before
    with pytest.raises(BackupInvalid) as caught:
        restore(target, OPEN, folder)
    assert caught.value.fields["reason"] == "exists"
    with pytest.raises(AccountInUse):
        restore(target, OPEN, folder, force=True)
    await alice.aclose()
    restored = restore(target, OPEN, folder, force=True)
    assert restored.replaced is not None
    assert restored.replaced.is_relative_to(folder / REPLACED)
    assert (restored.replaced / STORE_FILE).exists()
    assert account_directories(folder) == [restored.place]


async def test_a_backup_waits_for_a_device_that_is_just_replaced(
    house: Household, tmp_path: Path
) -> None:
    _, alice = await talk(house)
    await alice.aclose()
    store = place_in(tmp_path / "alice") / STORE_FILE
    with contextlib.closing(open_database(store, create=False)) as connection:
        write_rotation(connection, Rotation(why="restored", device="another"))
    with pytest.raises(BackupInvalid) as caught:
        back_up(tmp_path / "alice", tmp_path / "file")
    assert caught.value.fields["reason"] == "busy"
    assert not (tmp_path / "file").exists()


async def test_only_the_words_of_the_account_seal_its_backup(
    house: Household, tmp_path: Path
) -> None:
    _, alice = await talk(house)
    words = (await alice.client._background.account()).record.words
    assert words is not None
    place = place_in(tmp_path / "alice")
    assert words_recipient(place, parse_words(words)).text.startswith("age1")
    with pytest.raises(BackupInvalid) as caught:
        words_recipient(place, SigningKey.generate())
    assert caught.value.fields["reason"] == "words"


@pytest.mark.usefixtures("cheap_passphrases")
async def test_a_key_with_a_passphrase_stays_sealed(house: Household, tmp_path: Path) -> None:
    _, alice = await talk(house)
    await alice.aclose()
    key_files.protect(place_in(tmp_path / "alice") / KEY_FILE, "its own")
    back_up(tmp_path / "alice", tmp_path / "file")
    restored = restore(tmp_path / "file", OPEN, tmp_path / "new")
    assert key_files.public_key(restored.place / KEY_FILE)[1]


async def test_another_passphrase_and_a_damaged_file_change_nothing(
    house: Household, tmp_path: Path
) -> None:
    await talk(house)
    target, new = tmp_path / "file", tmp_path / "new"
    back_up(tmp_path / "alice", target)
    with pytest.raises(BackupInvalid):
        restore(target, Passphrase("wrong"), new)
    whole = target.read_bytes()
    for altered in (whole[:-1], whole[: len(whole) // 2], whole[:-9] + b"\0" + whole[-8:], b""):
        target.write_bytes(altered)
        with pytest.raises(BackupInvalid):
            restore(target, OPEN, new)
    assert not list(new.rglob("*"))


def of_another(folder: Path) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(msgspec.json.encode({**manifest, "name": "bob"}))


def climbing(folder: Path) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(msgspec.json.encode({**manifest, "name": "../bob"}))
    with contextlib.closing(sqlite3.connect(folder / STORE_FILE)) as connection, connection:
        connection.execute("UPDATE account SET name = '../bob'")


def newer(folder: Path) -> None:
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(msgspec.json.encode({**manifest, "format": "jim-backup-2"}))


def other_key(folder: Path) -> None:
    (folder / KEY_FILE).unlink()
    key_files.write_key(folder / KEY_FILE, SigningKey.generate().seed)


def two_servers(folder: Path) -> None:
    line = (folder / KNOWN_SERVERS).read_text()
    (folder / KNOWN_SERVERS).write_text(line + line.replace("127", "128"))


def no_store(folder: Path) -> None:
    (folder / STORE_FILE).write_bytes(b"x" * 4096)


def no_account(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / STORE_FILE)) as connection, connection:
        connection.execute("DELETE FROM account")


def damaged(folder: Path) -> None:
    raw = bytearray((folder / STORE_FILE).read_bytes())
    for place in range(3 * 4096, len(raw), 4096):
        raw[place : place + 200] = b"\xff" * 200
    (folder / STORE_FILE).write_bytes(raw)


@pytest.mark.parametrize(
    "change",
    [of_another, climbing, newer, other_key, two_servers, no_store, no_account, damaged],
)
async def test_what_does_not_belong_together_is_refused(
    house: Household,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    """Somebody who knows the passphrase has made it: still nothing comes of it."""
    await talk(house)
    back_up(tmp_path / "alice", tmp_path / "file")
    original = restoring._unseal

    def altered(source: Path, by: Any, folder: Path, progress: Any) -> None:
        original(source, by, folder, progress)
        change(folder)

    monkeypatch.setattr(restoring, "_unseal", altered)
    with pytest.raises(BackupInvalid) as caught:
        restore(tmp_path / "file", OPEN, tmp_path / "new")
    assert caught.value.fields["reason"] in {"content", "store"}
    assert not list((tmp_path / "new").rglob("*"))


async def test_a_restored_store_is_marked_whatever_its_counters_say(
    house: Household, tmp_path: Path
) -> None:
    _, alice = await talk(house)
    await alice.aclose()
    back_up(tmp_path / "alice", tmp_path / "file")
    restored = restore(tmp_path / "file", OPEN, tmp_path / "new")
    with contextlib.closing(sqlite3.connect(restored.place / STORE_FILE)) as connection:
        rotation = read_rotation(connection)
    assert rotation == Rotation(why="backup")
    shutil.rmtree(tmp_path / "new")


# --- the archive ----------------------------------------------------------------------------------


def packed(files: dict[str, bytes], folder: Path) -> bytes:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    pieces = Packing([(name, folder / name) for name in files], lambda _: None)
    return io.BufferedReader(pieces).read()


WANTED = (Member("one", 2000), Member("two", 10))


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 2000])
def test_an_archive_is_a_tar_and_comes_back(tmp_path: Path, size: int) -> None:
    raw = packed({"one": b"x" * size, "two": b"2"}, tmp_path / "from")
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        assert tar.getnames() == ["one", "two"]
    (tmp_path / "to").mkdir()
    unpack(io.BytesIO(raw), WANTED, tmp_path / "to")
    assert (tmp_path / "to" / "one").read_bytes() == b"x" * size
    assert (tmp_path / "to" / "two").stat().st_mode & 0o777 == 0o600


def tar_of(*members: tuple[str, bytes, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


FILE, LINK = tarfile.REGTYPE, tarfile.SYMTYPE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 10240,
        b"x" * 10240,
        tar_of(("one", FILE, b"1")),
        tar_of(("two", FILE, b"2"), ("one", FILE, b"1")),
        tar_of(("../one", FILE, b"1"), ("two", FILE, b"2")),
        tar_of(("/one", FILE, b"1"), ("two", FILE, b"2")),
        tar_of(("one", LINK, b""), ("two", FILE, b"2")),
        tar_of(("one", tarfile.DIRTYPE, b""), ("two", FILE, b"2")),
        tar_of(("one", FILE, b"1"), ("two", FILE, b"x" * 11)),
        tar_of(("one", FILE, b"1"), ("one", FILE, b"1"), ("two", FILE, b"2")),
        tar_of(("one", FILE, b"1"), ("two", FILE, b"2"), ("three", FILE, b"3")),
        tar_of(("one", FILE, b"1"), ("two", FILE, b"2"))[:1100],
    ],
)
def test_nothing_but_the_files_that_are_expected_is_unpacked(tmp_path: Path, raw: bytes) -> None:
    folder = tmp_path / "to"
    folder.mkdir()
    with pytest.raises(BackupInvalid) as caught:
        unpack(io.BytesIO(raw), WANTED, folder)
    assert caught.value.fields["reason"] == "content"
    assert {path.name for path in tmp_path.rglob("*")} <= {"to", "one", "two"}
    assert {path.name for path in tmp_path.iterdir()} == {"to"}


def test_every_member_has_a_bound() -> None:
    assert all(0 < member.limit_bytes <= 2**40 for member in MEMBERS)
    assert len({member.name for member in MEMBERS}) == len(MEMBERS)
