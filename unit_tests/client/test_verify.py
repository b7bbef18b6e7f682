"""Each kind of damage planted in a store that real traffic has written is found and named."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim.client import Address, Client
from jim.client.events import Registered
from jim.client.local_accounts import STORE_FILE
from jim.client.verify import ConversationAudit, Finding, Kind, Row, Walked, Whose
from jim.client.verify_store import verify_account, verify_data_directory
from jim.crypto.chain import FIRST_SEQ
from jim.server.verify import chain_end
from jim.storage.sqlite.verify import verify as verify_server
from unit_tests.client.household import Household
from unit_tests.client.listening import Listening
from unit_tests.support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def traffic(folder: Path) -> None:
    """Alice and bob write to each other; alice to herself, to nobody, and to carol, who is away."""
    async with serving(folder / "server") as server:
        house = Household(server.port, folder)
        alice, bob, carol = [await house.join(name) for name in ("alice", "bob", "carol")]
        await carol.aclose()
        for number in range(3):
            for name in ("bob", "alice", "nemo", "carol"):
                await alice.client.send(name, f"{number} to {name}")
            await bob.client.send("alice", f"{number} to alice")
        assert await alice.client.flush(20)
        assert await bob.client.flush(20)
        await alice.received(3)
        await bob.received(3)
        for name in ("alice", "bob", "carol"):
            assert verify_account(home(folder, name)).is_complete
        assert verify_server(folder / "server" / "server.db", chain_end).findings == []
        await house.aclose()


def home(folder: Path, name: str) -> Path:
    [store] = (folder / name).rglob(STORE_FILE)
    return store.parent


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traffic")
    asyncio.run(traffic(folder))
    return folder


@pytest.fixture
def place(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(home(original, "alice"), tmp_path / "alice")


@pytest.fixture
def plant(place: Path) -> Iterator[sqlite3.Connection]:
    path = place / STORE_FILE
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def faults(place: Path) -> list[Finding]:
    return [finding for finding in verify_account(place).findings if finding.is_fault]


def kinds(place: Path) -> list[Kind]:
    return [finding.kind for finding in verify_account(place).findings]


def received(connection: sqlite3.Connection, number: int) -> tuple[int, int]:
    """Give id and sequence of a message from bob."""
    rows = connection.execute(
        "SELECT message_id, seq FROM messages WHERE state = 'received' ORDER BY seq"
    ).fetchall()
    return (rows[number][0], rows[number][1])


def test_real_traffic_is_complete(original: Path, place: Path) -> None:
    report = verify_account(place)
    assert (report.name, report.confirmed_n, report.queued) == ("alice", 9, 0)
    assert report.findings == []
    assert report.conversations == [
        Walked(peer="alice", first=1, last=3, messages=3),
        Walked(peer="bob", first=1, last=6, messages=6),
        Walked(peer="carol", first=1, last=3, messages=3),
        Walked(peer="nemo", first=0, last=0, messages=0),
    ]
    assert [each.name for each in verify_data_directory(original / "bob").values()] == ["bob"]


def test_nothing_is_written(place: Path) -> None:
    before = (place / STORE_FILE).read_bytes()
    verify_account(place)
    assert (place / STORE_FILE).read_bytes() == before


def test_a_dropped_message(place: Path, plant: sqlite3.Connection) -> None:
    message_id, seq = received(plant, 0)
    plant.execute("DELETE FROM messages WHERE message_id = ?", (message_id,))
    assert verify_account(place).findings == [
        Finding(kind=Kind.POSITION_MISSING, first=1, last=1),
        Finding(kind=Kind.MISSING, peer="bob", first=seq, last=seq),
    ]


def test_an_own_message_dropped(place: Path, plant: sqlite3.Connection) -> None:
    n, seq = plant.execute(
        "SELECT n, seq FROM messages WHERE outgoing AND peer = 'carol' AND seq = 2"
    ).fetchone()
    plant.execute("DELETE FROM messages WHERE n = ? AND outgoing", (n,))
    report = verify_account(place)
    assert report.findings == [
        Finding(kind=Kind.NUMBER_MISSING, first=n, last=n),
        Finding(kind=Kind.MISSING, peer="carol", first=seq, last=seq),
    ]
    assert (report.lost, report.knows_ends) == (1, True)


def test_the_last_own_message_dropped(place: Path, plant: sqlite3.Connection) -> None:
    """No message behind it shows it; its number does, but not which conversation has lost it."""
    plant.execute("DELETE FROM messages WHERE outgoing AND peer = 'carol' AND seq = 3")
    report = verify_account(place)
    assert [f.kind for f in report.findings] == [Kind.NUMBER_MISSING]
    assert (report.lost, report.knows_ends) == (1, False)


def test_an_altered_text(place: Path, plant: sqlite3.Connection) -> None:
    message_id, seq = received(plant, 1)
    plant.execute("UPDATE messages SET text = 'other' WHERE message_id = ?", (message_id,))
    altered = Finding(kind=Kind.ALTERED, peer="bob", first=seq, last=seq, message_id=message_id)
    assert verify_account(place).findings == [altered]


def test_a_message_that_was_meant_for_somebody_else(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute("UPDATE account SET name = 'alicia'")
    plant.execute("UPDATE messages SET sender = 'alicia' WHERE outgoing")
    assert set(kinds(place)) == {Kind.ALTERED}


def test_a_wrong_author(place: Path, plant: sqlite3.Connection) -> None:
    message_id, _ = received(plant, 1)
    plant.execute("UPDATE messages SET sender = 'carol' WHERE message_id = ?", (message_id,))
    assert kinds(place) == [Kind.CONTRADICTORY]


def test_two_sequences_swapped(place: Path, plant: sqlite3.Connection) -> None:
    (one, first), (two, second) = received(plant, 0), received(plant, 1)
    plant.execute("UPDATE messages SET seq = ? WHERE message_id = ?", (second, one))
    plant.execute("UPDATE messages SET seq = ? WHERE message_id = ?", (first, two))
    found = verify_account(place).findings
    assert {(f.kind, f.message_id) for f in found} == {
        (Kind.MISPLACED, one),
        (Kind.MISPLACED, two),
    }


def test_a_duplicate(place: Path, plant: sqlite3.Connection) -> None:
    _, seq = received(plant, 0)
    plant.execute(
        "INSERT INTO messages (peer, outgoing, sender, device, n, text, time_ms, seq, place, state)"
        " SELECT peer, outgoing, sender, device, n, text, time_ms, seq, place, state"
        " FROM messages WHERE state = 'received' AND seq = ?",
        (seq,),
    )
    assert kinds(place) == [Kind.ALTERED, Kind.DOUBLED]


def test_a_number_used_twice(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute("UPDATE messages SET n = 3 WHERE outgoing AND n = 4")
    assert [(f.kind, f.first) for f in verify_account(place).findings] == [
        (Kind.NUMBER_DOUBLED, 3),
        (Kind.NUMBER_MISSING, 4),
    ]


@pytest.mark.parametrize(("change", "kind"), [(-1, Kind.NUMBER_BEYOND), (2, Kind.NUMBER_MISSING)])
def test_an_altered_last_number(
    place: Path, plant: sqlite3.Connection, change: int, kind: Kind
) -> None:
    plant.execute("UPDATE account SET confirmed_n = confirmed_n + ?", (change,))
    assert kinds(place) == [kind]


def test_an_outbox_with_a_gap(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute("UPDATE messages SET state = 'queued', n = n + 5 WHERE n = 9 AND outgoing")
    plant.execute("UPDATE account SET confirmed_n = 8")
    [found] = faults(place)
    assert (found.kind, found.first, found.detail) == (Kind.OUTBOX, 14, "9")


def test_a_cursor_without_a_server(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute("UPDATE account SET epoch = ''")
    assert kinds(place) == [Kind.CURSOR]


def test_an_own_message_of_unknown_place_explains_one_hole(
    place: Path, plant: sqlite3.Connection
) -> None:
    plant.execute("UPDATE messages SET seq = 0 WHERE outgoing AND peer = 'carol' AND seq = 2")
    assert verify_account(place).findings == [
        Finding(kind=Kind.PLACE_UNKNOWN, peer="carol", first=2, last=2)
    ]
    plant.execute("DELETE FROM messages WHERE outgoing AND peer = 'carol' AND seq = 1")
    assert [f.kind for f in faults(place)] == [Kind.NUMBER_MISSING, Kind.MISSING]


def test_an_unknown_outcome_explains_its_number(place: Path, plant: sqlite3.Connection) -> None:
    plant.execute(
        "UPDATE messages SET state = 'failed', n = 0, seq = 0, error_code = 'unknown_outcome'"
        " WHERE outgoing AND peer = 'carol' AND seq = 2"
    )
    report = verify_account(place)
    assert report.is_complete
    assert [f.kind for f in report.findings] == [Kind.NUMBER_UNKNOWN, Kind.PLACE_UNKNOWN]


def test_what_was_before_a_device_joined_is_no_fault(
    place: Path, plant: sqlite3.Connection
) -> None:
    plant.execute("DELETE FROM messages WHERE peer = 'bob' AND seq = 1 AND NOT outgoing")
    plant.execute("UPDATE messages SET device = 'another one' WHERE peer = 'bob' AND outgoing")
    plant.execute("UPDATE account SET chain_seq = 1")
    first, seq = plant.execute(
        "SELECT message_id, seq FROM messages WHERE peer = 'alice' ORDER BY seq"
    ).fetchone()
    plant.execute("DELETE FROM messages WHERE message_id = ?", (first,))
    found = [f for f in verify_account(place).findings if f.peer == "alice"]
    assert found == [Finding(kind=Kind.BEFORE_JOINING, peer="alice", first=seq, last=seq)]
    middle = plant.execute("DELETE FROM messages WHERE peer = 'alice' AND seq = 2 RETURNING seq")
    assert middle.fetchall() == [(2,)]
    plant.execute("DELETE FROM messages WHERE peer = 'carol' AND seq = 2")
    assert [f for f in faults(place) if f.peer in {"alice", "carol"}] == [
        Finding(kind=Kind.MISSING, peer="carol", first=2, last=2)
    ]


def row(message_id: int, seq: int, *, own: bool = False) -> Row:
    return Row(
        message_id=message_id,
        peer="bob",
        outgoing=own,
        sender="alice" if own else "bob",
        device="a" * 16 if own else "b" * 16,
        n=seq,
        text="hi",
        seq=seq,
        place=seq,
        state="stored" if own else "received",
        error_code=None,
        identity=None,
    )


@pytest.mark.parametrize(
    ("notices", "kind"),
    [
        ([], Kind.MISSING),
        ([10], Kind.MISSING),  # told before the last message in front of the hole came
        ([11], Kind.NOT_KEPT),
        ([12], Kind.NOT_KEPT),
        ([13], Kind.MISSING),  # told when the first one behind it was here already
    ],
)
def test_a_hole_is_explained_by_what_was_told_while_it_came_about(
    notices: list[int], kind: Kind
) -> None:
    audit = ConversationAudit("bob", Whose("alice", "a" * 16, FIRST_SEQ), notices)
    # The own messages on both sides of it were written long before, and long after.
    for each in (row(10, 1), row(11, 2), row(5, 3, own=True), row(99, 6, own=True), row(13, 7)):
        list(audit.add(each))
    assert [(f.kind, f.first, f.last) for f in audit.end()] == [(kind, 4, 5)]


@pytest.mark.timeout(120)
def test_a_conversation_full_of_holes_takes_no_longer() -> None:
    """Every hole looked at every row behind it, and at every notice: hours for these."""
    count = 100_000
    audit = ConversationAudit("bob", Whose("alice", "a" * 16, FIRST_SEQ), range(0, count, 2))
    for number in range(1, count):
        list(audit.add(row(number, 2 * number)))
    told, *holes = audit.end()
    assert told.kind is Kind.NOT_KEPT
    assert len(holes) == count - 2
    assert {hole.kind for hole in holes[::2]} == {Kind.MISSING}
    assert {hole.kind for hole in holes[1::2]} == {Kind.NOT_KEPT}


async def test_a_device_that_joined_later_is_complete(tmp_path: Path) -> None:
    async with serving(tmp_path / "server") as server:
        house = Household(server.port, tmp_path)
        bob = await house.join("bob")
        alice = await house.join("alice")
        for number in range(3):
            sent = await alice.client.send("bob", str(number))
            await alice.client.wait_stored(sent.message_id, 10)
            sent = await bob.client.send("alice", str(number))
            await bob.client.wait_stored(sent.message_id, 10)
        await alice.received(3)
        await alice.aclose()
        for number in range(3):
            sent = await bob.client.send("alice", f"while away {number}")
            await bob.client.wait_stored(sent.message_id, 10)
        (registered,) = await alice.wait(Registered)
        words = " ".join(registered.words or ())
        address = Address("127.0.0.1", server.port)
        client = Client.recover(address, "alice", words, data_dir=tmp_path / "heir")
        heir = Listening(client)
        house.clients.append(heir)
        await client.start()
        await heir.online()
        await heir.received(3)
        sent = await heir.client.send("bob", "from the new one")
        await heir.client.wait_stored(sent.message_id, 10)
        await bob.received(4)
        report = verify_account(home(tmp_path, "heir"))
        assert report.is_complete
        assert report.findings == [Finding(kind=Kind.BEFORE_JOINING, peer="bob", first=1, last=6)]
        assert verify_server(tmp_path / "server" / "server.db", chain_end).findings == []
        await house.aclose()
