"""Every position of the mailbox is looked for, whatever happened to server, account and device."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING
from unittest.mock import patch

import msgspec
import pytest

from jim.client import Address, Client
from jim.client.device_store import DeviceStore
from jim.client.events import ROTATED, MissingNotice, Registered
from jim.client.local_accounts import STORE_FILE
from jim.client.schema import WALKED_SINCE, open_database
from jim.client.verify import NOTES, Finding, Kind, Report
from jim.client.verify_store import verify_account
from jim.storage.sqlite import reissue_epoch
from unit_tests.client.household import Household
from unit_tests.client.listening import Listening
from unit_tests.client.older import turn_back
from unit_tests.client.relay import Relay
from unit_tests.support.serving import QUICK, serving

if TYPE_CHECKING:
    from pathlib import Path


def home(folder: Path, name: str) -> Path:
    [store] = (folder / name).rglob(STORE_FILE)
    return store.parent


def change(place: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(place / STORE_FILE)) as connection:
        assert connection.execute(statement).rowcount
        connection.commit()


def found(report: Report) -> list[tuple[Kind, int, int]]:
    return [(finding.kind, finding.first, finding.last) for finding in report.findings]


async def exchange(sender: Listening, to: Listening, *texts: str) -> None:
    for text in texts:
        sent = await sender.client.send(to.client.name, text)
        await sender.client.wait_stored(sent.message_id, 10)


async def deaf(sender: Listening) -> None:
    """Let a client seal nothing again, whoever asks: what was lost stays so."""
    account = await sender.client._background.account()
    await account.writer.read(lambda store: setattr(store, "_seal_again", lambda *_: None))


# --- a second device, whose mailbox was full ------------------------------------------------------


async def traffic(folder: Path) -> None:
    """Bob's second device gets what his first one wrote, too, and then is told what it misses.

    Devices do not say what they are called: the mailbox has nothing but what people write.
    """
    limits = msgspec.structs.replace(QUICK, waiting_messages=3)
    quiet = patch.object(DeviceStore, "_tell_name", lambda *_: None)
    async with serving(folder / "server", limits) as server:
        with quiet:
            await _talk(Household(server.port, folder), server.port, folder)


async def _talk(house: Household, port: int, folder: Path) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    (registered,) = await bob.wait(Registered)
    address = Address("127.0.0.1", port)
    words = " ".join(registered.words or ())
    heir = Listening(Client.recover(address, "bob", words, data_dir=folder / "second"))
    house.clients.append(heir)
    await heir.client.start()
    await heir.online()
    await heir.aclose()
    await deaf(alice)
    await exchange(alice, bob, "0")
    await exchange(bob, alice, "1")
    for count, text in enumerate("234", 2):
        await exchange(alice, bob, text)
        await bob.received(count)
    back = await house.join("bob", "second")
    await back.wait(MissingNotice)
    await exchange(alice, bob, "5")
    assert [m.text for m in await back.received(3)] == ["0", "2", "5"]
    await bob.received(5)
    for name in ("alice", "bob"):
        assert verify_account(home(folder, name)).findings == []
    await house.aclose()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traffic")
    asyncio.run(traffic(folder))
    return home(folder, "second")


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "second")


TOLD = Finding(kind=Kind.NOT_KEPT, peer="alice", first=4, last=5)
"""3 and 4 came when the mailbox was full. Here are 0, 1, 2, the notice, and 5."""


def test_a_device_whose_mailbox_was_full_knows_why_it_has_holes(place: Path) -> None:
    report = verify_account(place)
    assert report.findings == [TOLD]
    assert (report.walked_from, report.position, report.lost) == (0, 5, 0)
    assert report.is_complete


@pytest.mark.parametrize(
    ("statement", "faults", "lost"),
    [
        ("DELETE FROM messages WHERE position = 5", [(Kind.POSITION_MISSING, 5, 5)], 1),
        # To a device that joined later these two look like what was before that.
        ("DELETE FROM messages WHERE position = 1", [(Kind.POSITION_MISSING, 1, 1)], 1),
        ("DELETE FROM messages WHERE position = 2", [(Kind.POSITION_MISSING, 2, 2)], 1),
        # Beside what was told to be missing: that excuses the hole, not what was received.
        ("DELETE FROM messages WHERE position = 3", [(Kind.POSITION_MISSING, 3, 3)], 1),
        ("DELETE FROM messages", [(Kind.POSITION_MISSING, 1, 3), (Kind.POSITION_MISSING, 5, 5)], 4),
        ("DELETE FROM notices", [(Kind.POSITION_MISSING, 4, 4)], 1),
        ("UPDATE account SET position = 99", [(Kind.POSITION_MISSING, 6, 99)], 94),
        ("UPDATE account SET position = 4", [(Kind.CURSOR, 4, 4)], 0),
        ("UPDATE account SET position = 0", [(Kind.CURSOR, 0, 0)], 0),
        ("UPDATE account SET position = -1", [(Kind.CURSOR, -1, -1)] * 2, 0),
        ("UPDATE account SET walked_from = 3", [(Kind.CURSOR, 5, 5)], 0),
        ("UPDATE account SET walked_from = 9", [(Kind.CURSOR, 5, 5)] * 2, 0),
        (
            "UPDATE messages SET position = 1 WHERE position = 2",
            [(Kind.POSITION_DOUBLED, 1, 1), (Kind.POSITION_MISSING, 2, 2)],
            1,
        ),
        (
            "UPDATE messages SET position = 4 WHERE position = 5",
            [(Kind.POSITION_DOUBLED, 4, 4), (Kind.POSITION_MISSING, 5, 5)],
            1,
        ),
    ],
)
def test_damage_that_no_conversation_shows(
    place: Path, statement: str, faults: list[tuple[Kind, int, int]], lost: int
) -> None:
    change(place, statement)
    report = verify_account(place)
    assert [each for each in found(report) if each[0] not in NOTES] == faults
    assert report.lost == lost


# --- another lineage, another copy, another version -----------------------------------------------


async def test_a_restored_server(tmp_path: Path) -> None:
    """Positions begin anew, also for what is here already, and go on being looked for."""
    data, backup = tmp_path / "server", tmp_path / "server backup"
    async with Relay(None) as relay:
        house = Household(relay.port, tmp_path)
        async with serving(data) as server:
            relay.target_port = server.port
            bob, alice = await house.join("bob"), await house.join("alice")
            await exchange(alice, bob, "one")
            await bob.received(1)
        shutil.copytree(data, backup)
        async with serving(data) as server:
            relay.target_port = server.port
            alice.client.retry_now()
            bob.client.retry_now()
            await exchange(alice, bob, "two", "three")
            await bob.received(3)
        reissue_epoch(backup / "server.db")
        async with serving(backup) as server:
            relay.target_port = server.port
            alice.client.retry_now()
            bob.client.retry_now()
            await exchange(alice, bob, "four")
            assert await alice.client.flush(20)
            await bob.received(4)
            await house.aclose()
    place = home(tmp_path, "bob")
    report = verify_account(place)
    assert report.findings == []
    assert report.position - report.walked_from >= 3  # "two" and "three" were sent again
    change(place, "DELETE FROM messages WHERE text = 'four'")
    assert found(verify_account(place)) == [(Kind.POSITION_MISSING, *(report.position,) * 2)]
    change(place, "DELETE FROM messages WHERE text = 'two'")
    assert Kind.MISSING in {kind for kind, *_ in found(verify_account(place))}


async def test_a_restored_account(house: Household, tmp_path: Path) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    await exchange(alice, bob, "0", "1")
    await bob.received(2)
    await bob.aclose()
    shutil.copytree(tmp_path / "bob", tmp_path / "backup")
    bob = await house.join("bob")
    await exchange(alice, bob, "2", "3")
    await bob.received(2)
    await bob.aclose()
    restored = await house.join("bob", "backup")
    await restored.wait(MissingNotice, lambda event: event.code == ROTATED)
    await exchange(alice, restored, "4", "5")
    texts = {m.text for m in await restored.received(4)}
    assert texts == {"2", "3", "4", "5"}, "what the other life had is asked for again"
    await restored.aclose()
    place = home(tmp_path, "backup")
    report = verify_account(place)
    assert report.is_complete, found(report)
    assert report.walked_from == 0
    change(place, "DELETE FROM messages WHERE text = '5'")
    assert not verify_account(place).is_complete


@pytest.fixture
def old(place: Path) -> Path:
    """Give the store as the version before positions were kept would have it."""
    turn_back(place / STORE_FILE, WALKED_SINCE - 1)
    return place


def test_a_store_of_an_older_version(old: Path) -> None:
    hole = [(Kind.BEFORE_JOINING, 4, 5)]  # it kept no notices
    assert found(verify_account(old)) == hole
    open_database(old / STORE_FILE, create=False).close()
    report = verify_account(old)
    assert found(report) == hole
    assert (report.walked_from, report.position) == (5, 5)
