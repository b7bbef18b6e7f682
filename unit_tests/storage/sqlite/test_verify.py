"""Each kind of damage planted in a real database is found, and named exactly."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from jim.core.findings import Fault, Finding, Report
from jim.core.limits import Limits
from jim.protocol.codec import FROM_SERVER, encode
from jim.storage.sqlite import open_store
from jim.storage.sqlite.packing import NO_ANSWERS
from jim.storage.sqlite.verify import verify, walk
from unit_tests.support.accounts import NOW_MS, ack, add_account, enrolment, send
from unit_tests.support.outcomes import Append, batch_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits()


async def traffic(path: Path) -> None:
    """Two devices of alice, bob, carol: messages both ways, some collected, one with herself."""
    store = await open_store(path, LIMITS)
    first, second = await add_account(store, "alice", 2)
    [bob] = await add_account(store, "bob")
    [carol] = await add_account(store, "carol")
    await send(store, first, "bob", 1, 2, 3)
    await send(store, bob, "alice", 1, 2)
    await send(store, carol, "alice", 1)
    await send(store, second, "bob", 1)
    await send(store, first, "alice", 4)
    await send(store, bob, "alice", 3)
    await ack(store, bob, 2)
    await ack(store, first, 2)
    await ack(store, carol, 0)
    await store.aclose()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "server.db"
    asyncio.run(traffic(path))
    return path


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path / "server.db"))


@pytest.fixture
def plant(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def device(connection: sqlite3.Connection, name: str, number: int = 0) -> tuple[int, str]:
    """Give id and public id of somebody's device."""
    rows = connection.execute(
        "SELECT device_id, device FROM device JOIN account USING (account_id)"
        " WHERE name = ? ORDER BY device_id",
        (name,),
    ).fetchall()
    return (rows[number][0], rows[number][1])


def segment(connection: sqlite3.Connection, device_id: int, number: int) -> tuple[int, list[Any]]:
    """Give the first position of somebody's segment, and its frames."""
    rows = connection.execute(
        "SELECT first_position, frames FROM mailbox WHERE device_id = ? ORDER BY first_position",
        (device_id,),
    ).fetchall()
    return rows[number][0], FROM_SERVER.json.decode_lines(rows[number][1])


def rewrite(connection: sqlite3.Connection, device_id: int, first: int, frames: list[Any]) -> None:
    raw = b"".join(map(encode, frames))
    key = (device_id, first)
    connection.execute(
        "UPDATE mailbox SET frames = ? WHERE device_id = ? AND first_position = ?", (raw, *key)
    )


def look(path: Path) -> Report:
    return verify(path, None)


def kinds(report: Report) -> list[Fault]:
    return [finding.fault for finding in report.findings]


def test_what_was_really_written_is_complete(path: Path) -> None:
    report = look(path)
    assert report.findings == []
    assert report.is_complete
    waiting = {
        (walked.mailbox.account, walked.mailbox.acked + 1, walked.mailbox.last_position)
        for walked in report.mailboxes
        if walked.is_complete
    }
    assert waiting == {("alice", 3, 5), ("alice", 1, 8), ("bob", 3, 4), ("carol", 1, 0)}


def test_a_deleted_segment(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "alice", 1)
    first, frames = segment(plant, device_id, 1)
    assert (first, len(frames)) == (4, 2)
    plant.execute("DELETE FROM mailbox WHERE device_id = ? AND first_position = 4", (device_id,))
    gap = Finding(fault=Fault.POSITIONS, account="alice", device=public, first=4, last=5)
    assert look(path).findings == [gap]


def test_the_last_segment_deleted(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "alice", 1)
    plant.execute("DELETE FROM mailbox WHERE device_id = ? AND first_position = 8", (device_id,))
    gap = Finding(fault=Fault.POSITIONS, account="alice", device=public, first=8, last=8)
    assert look(path).findings == [gap]


def test_a_shifted_position(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "alice", 1)
    first, frames = segment(plant, device_id, 1)
    frames[1].position += 1
    rewrite(plant, device_id, first, frames)
    [found] = look(path).findings
    assert (found.fault, found.device, found.first) == (Fault.SHIFTED, public, 5)
    assert found.detail == "6"


def test_an_altered_text_differs_from_the_other_copy(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "alice", 1)
    first, frames = segment(plant, device_id, 2)
    frames[0].message = "something else"
    rewrite(plant, device_id, first, frames)
    report = look(path)
    assert kinds(report) == [Fault.CONFLICT, Fault.DOUBLED]
    assert {finding.peer for finding in report.findings} == {"carol"}
    assert {finding.first for finding in report.findings} == {6}


def test_a_dropped_message(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "alice", 1)
    first, frames = segment(plant, device_id, 1)
    rewrite(plant, device_id, first, frames[:1])
    [count, marks] = look(path).findings
    assert (count.fault, count.device, count.first, count.last) == (Fault.FRAMES, public, 4, 5)
    assert marks.fault is Fault.MARKS


def test_two_sequences_swapped(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "bob")
    first, frames = segment(plant, device_id, 0)
    frames[1].seq, frames[2].seq = frames[2].seq, frames[1].seq
    rewrite(plant, device_id, first, frames)
    found = look(path).findings
    assert [f.first for f in found if f.fault is Fault.ORDER] == [3]
    assert [f.first for f in found if f.fault is Fault.NUMBER] == [2, 3]


@pytest.mark.parametrize("change", [-1, 1])
def test_an_altered_last_number(path: Path, plant: sqlite3.Connection, change: int) -> None:
    device_id, _ = device(plant, "carol")
    plant.execute("UPDATE sending SET last_n = last_n + ? WHERE device_id = ?", (change, device_id))
    found = look(path).findings
    assert (Fault.NUMBER in {finding.fault for finding in found}) == (change < 0)
    total = next(finding for finding in found if finding.fault is Fault.TOTAL)
    assert total.first - total.last == change


def test_a_duplicate_under_a_new_position(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "bob")
    _, [frame] = segment(plant, device_id, 1)
    frame.position = 5
    frame.seq += 1
    frame.n += 1
    row = (device_id, 5, 5, encode(frame), b"")
    plant.execute("INSERT INTO mailbox VALUES (?, ?, ?, ?, ?)", row)
    plant.execute("UPDATE receiving SET last_position = 5 WHERE device_id = ?", (device_id,))
    plant.execute("UPDATE conversation SET last_seq = last_seq + 1 WHERE low <> high")
    found = kinds(look(path))
    assert Fault.NUMBER in found
    assert Fault.TOTAL in found


def test_the_same_message_twice(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "bob")
    _, [frame] = segment(plant, device_id, 1)
    frame.position = 5
    row = (device_id, 5, 5, encode(frame))
    plant.execute(
        "INSERT INTO mailbox SELECT ?, ?, ?, ?, marks FROM mailbox"
        " WHERE device_id = ?1 AND first_position = 4",
        row,
    )
    plant.execute("UPDATE receiving SET last_position = 5 WHERE device_id = ?", (device_id,))
    assert kinds(look(path)) == [Fault.ORDER]


def test_a_leak_into_a_foreign_mailbox(path: Path, plant: sqlite3.Connection) -> None:
    bob, _ = device(plant, "bob")
    carol, public = device(plant, "carol")
    _, [frame] = segment(plant, bob, 1)
    frame.position = 1
    plant.execute("INSERT INTO mailbox VALUES (?, 1, 1, ?, ?)", (carol, encode(frame), b""))
    plant.execute(
        "UPDATE receiving SET last_position = 1, waiting_since_ms = 1 WHERE device_id = ?",
        (carol,),
    )
    leak = Finding(
        fault=Fault.FOREIGN,
        account="carol",
        device=public,
        peer="alice",
        first=1,
        last=1,
        detail="bob",
    )
    assert look(path).findings == [leak]


def test_an_own_message_in_the_mailbox_of_its_own_device(
    path: Path, plant: sqlite3.Connection
) -> None:
    device_id, _ = device(plant, "alice", 1)
    _, frames = segment(plant, device_id, 0)
    plant.execute("DELETE FROM mailbox WHERE device_id = ?", (device_id,))
    plant.execute("UPDATE mailbox SET device_id = ? WHERE device_id = 1", (device_id,))
    assert frames[0].device != device(plant, "alice", 1)[1]
    assert Fault.FOREIGN in kinds(look(path))


def test_what_was_confirmed_and_is_still_there(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "alice", 1)
    plant.execute("UPDATE receiving SET acked = 5 WHERE device_id = ?", (device_id,))
    found = look(path).findings
    assert [(f.fault, f.device, f.first, f.last) for f in found] == [
        (Fault.LEFT_OVER, public, 1, 3),
        (Fault.LEFT_OVER, public, 4, 5),
    ]


def test_what_lies_behind_the_last_position(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "alice", 1)
    plant.execute("UPDATE receiving SET last_position = 7 WHERE device_id = ?", (device_id,))
    [found] = look(path).findings
    assert (found.fault, found.first, found.last) == (Fault.LEFT_OVER, 8, 8)


def test_a_sequence_given_twice_later(path: Path, plant: sqlite3.Connection) -> None:
    plant.execute("UPDATE conversation SET last_seq = last_seq - 1 WHERE low = 1 AND high = 2")
    found = kinds(look(path))
    assert set(found) == {Fault.SEQUENCE, Fault.TOTAL}


def test_delivered_beyond_the_end(path: Path, plant: sqlite3.Connection) -> None:
    plant.execute("UPDATE member SET delivered_seq = 99 WHERE account_id = 2")
    [found] = look(path).findings
    assert (found.fault, found.account, found.first) == (Fault.MEMBER, "bob", 99)


def test_a_side_of_a_conversation_is_gone(path: Path, plant: sqlite3.Connection) -> None:
    plant.execute("DELETE FROM member WHERE account_id = 2")
    assert Fault.MEMBER in kinds(look(path))


def test_somebody_else_in_a_conversation(path: Path, plant: sqlite3.Connection) -> None:
    (conversation_id,) = plant.execute(
        "SELECT conversation_id FROM conversation WHERE low = 1 AND high = 2"
    ).fetchone()
    plant.execute("INSERT INTO member VALUES (3, ?, 0, 0)", (conversation_id,))
    [found] = look(path).findings
    assert (found.fault, found.account) == (Fault.MEMBER, "carol")


def test_lost_answers(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "bob")
    plant.execute("UPDATE sending SET answers = ? WHERE device_id = ?", (NO_ANSWERS, device_id))
    [found] = look(path).findings
    assert (found.fault, found.device, found.last) == (Fault.ANSWERS, public, 3)


def test_marks_that_would_report_too_much(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "bob")
    plant.execute("UPDATE mailbox SET marks = ? WHERE device_id = ?", (b"\x81\x01\x63", device_id))
    assert set(kinds(look(path))) == {Fault.MARKS}


def test_a_mailbox_that_takes_nothing_without_saying_so(
    path: Path, plant: sqlite3.Connection
) -> None:
    device_id, _ = device(plant, "bob")
    plant.execute("UPDATE receiving SET state = 1 WHERE device_id = ?", (device_id,))
    assert kinds(look(path)) == [Fault.STATE]


def test_a_device_without_counters(path: Path, plant: sqlite3.Connection) -> None:
    device_id, public = device(plant, "carol")
    plant.execute("DELETE FROM receiving WHERE device_id = ?", (device_id,))
    [found] = look(path).findings
    assert (found.fault, found.device) == (Fault.REFERENCE, public)


def test_an_orphan(path: Path, plant: sqlite3.Connection) -> None:
    plant.execute("INSERT INTO mailbox VALUES (99, 1, 1, ?, ?)", (b"", b""))
    [found] = look(path).findings
    assert (found.fault, found.detail) == (Fault.REFERENCE, "mailbox -> device")


def test_frames_that_cannot_be_read(path: Path, plant: sqlite3.Connection) -> None:
    device_id, _ = device(plant, "bob")
    plant.execute("UPDATE mailbox SET frames = ? WHERE device_id = ?", (b"\xff\x00", device_id))
    assert set(kinds(look(path))) == {Fault.FRAMES}


async def test_beside_a_server_that_commits(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    reports: list[Report] = []
    enough = threading.Event()

    def keep_looking() -> None:
        while not enough.is_set():
            reports.append(look(path))

    looking = asyncio.get_running_loop().run_in_executor(None, keep_looking)
    n = 0
    try:
        while (n < 50 or len(reports) < 10) and not looking.done():
            n += 1
            append = Append(alice, n, "bob", "x")
            await store.commit(batch_of([append], {bob.device_id: n - 2}), NOW_MS)
    finally:
        enough.set()
    await looking
    assert all(report.is_complete for report in reports)
    await store.aclose()


async def test_a_full_mailbox_and_an_heir_are_complete(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    store = await open_store(path, Limits(waiting_messages=3))
    [alice] = await add_account(store, "alice")
    [bob] = await add_account(store, "bob")
    await send(store, alice, "bob", 1, 2, 3, 4, 5)
    await ack(store, bob, 4)
    assert look(path).findings == []
    await send(store, alice, "bob", 4)
    account = await store.find_account("bob")
    assert account is not None
    await store.enrol(enrolment(account), NOW_MS)
    await send(store, alice, "bob", 5)
    await store.aclose()
    report = look(path)
    assert report.findings == []
    assert len(report.mailboxes) == 3


async def test_progress_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jim.storage.sqlite.verify.PROGRESS_SEGMENTS", 1)
    told: list[tuple[int, int]] = []
    list(walk(path, None, lambda done, total: told.append((done, total))))
    assert told[0] == (1, told[-1][1])
    assert told[-1][0] == told[-1][1] == len(told)
