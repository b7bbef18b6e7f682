"""Sealed messages, revoked devices and keys on the disk: over kills, and from older versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.core.findings import Fault
from jim.core.limits import Limits
from jim.storage.sqlite import journal, open_store, schema, store
from jim.storage.sqlite.packing import unpack_answers
from jim.storage.sqlite.verify import verify
from unit_tests.support.accounts import (
    NOW_MS,
    ack,
    add_account,
    enrolment,
    public_key,
    revocation,
    seal,
    send,
)
from unit_tests.support.adapters import waiting
from unit_tests.support.cuts import Cuts, cut_off, database, entries
from unit_tests.support.outcomes import outcomes, stored

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore

LIMITS = Limits()


@pytest.fixture(autouse=True)
def _unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything in the journal for as long as a test takes."""
    monkeypatch.setattr(store, "SETTLE_S", 1e6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


async def begun(path: Path) -> tuple[SqliteStore, Identity, Identity, Identity]:
    current = await open_store(path, LIMITS)
    [alice] = await add_account(current, "alice", keys=True)
    desk, phone = await add_account(current, "bob", 2, keys=True)
    return current, alice, desk, phone


async def revoke(current: SqliteStore, device: Identity) -> None:
    account = await current.find_account(device.name)
    assert account is not None
    await current.extend(revocation(account, device.device), NOW_MS)


# --- the journal ----------------------------------------------------------------------------------


async def test_messages_for_one_device_alone_survive_a_kill(path: Path) -> None:
    current, alice, desk, phone = await begun(path)
    await seal(current, alice, "bob", 1, [desk, phone])
    for n in (2, 3):
        await seal(current, alice, "bob", n, [phone], only=True)
    await seal(current, alice, "bob", 4, [desk, phone])
    await ack(current, phone, 2)
    left = cut_off(path, "cut")
    assert len(entries(left)) == 5
    await current.aclose()
    for each in (left, path):
        assert verify(each, None).findings == []
        again = await open_store(each, LIMITS)
        with database(each) as connection:
            assert connection.execute("SELECT sum(alone) FROM sending").fetchone() == (2,)
        for n, seq in ((1, 1), (2, 0), (3, 0), (4, 2)):
            devices = [phone] if not seq else [desk, phone]
            done = await seal(again, alice, "bob", n, devices, only=not seq)
            assert (stored(outcomes(done)[0]).seq, done.segments) == (seq, [])
        assert [getattr(f, "seq", None) for f in await waiting(again, phone, 2)] == [0, 2]
        assert stored(outcomes(await seal(again, alice, "bob", 5, [desk, phone]))[0]).seq == 3
        await again.aclose()
        assert verify(each, None).findings == []


async def test_the_journal_does_not_bring_a_revoked_device_back(path: Path) -> None:
    current, alice, desk, phone = await begun(path)
    await seal(current, alice, "bob", 1, [desk, phone])
    await ack(current, phone, 0)
    await send(current, phone, "alice", 1)
    assert len(entries(path)) == 2
    await revoke(current, phone)
    await send(current, alice, "bob", 2)
    left = cut_off(path, "cut")
    assert len(entries(left)) == 3, "what was before is still in it"
    assert verify(left, None).findings == []
    await current.aclose()
    again = await open_store(left, LIMITS)
    standing = await again.standing(phone.device_id)
    assert (standing.revoked, standing.position, standing.acked) == (True, 1, 1)
    assert standing.last_n == 1
    assert await waiting(again, phone) == []
    assert len(await waiting(again, desk)) == 3
    await again.aclose()
    assert verify(left, None).findings == []


async def test_a_journal_of_the_version_before_is_read(path: Path) -> None:
    current, alice, desk, phone = await begun(path)
    await send(current, alice, "bob", 1, 2)
    await ack(current, phone, 1)
    left = cut_off(path, "cut")
    await current.aclose()
    with database(left) as connection:
        for commit_id, body in connection.execute("SELECT * FROM journal").fetchall():
            entry: list[Any] = msgspec.msgpack.decode(body)
            assert entry[0] == journal.VERSION == 2
            entry[0] = 1
            entry[2] = [sent[:5] for sent in entry[2]]
            older = msgspec.msgpack.encode(entry)
            connection.execute(
                "UPDATE journal SET body = ? WHERE commit_id = ?", (older, commit_id)
            )
    assert verify(left, None).findings == []
    again = await open_store(left, LIMITS)
    assert (await again.standing(alice.device_id)).last_n == 2
    assert (await again.standing(phone.device_id)).acked == 1
    assert len(await waiting(again, desk)) == 2
    await again.aclose()


async def test_an_entry_of_a_later_version_is_damage(path: Path) -> None:
    current, alice, *_ = await begun(path)
    await send(current, alice, "bob", 1)
    left = cut_off(path, "cut")
    await current.aclose()
    with database(left) as connection:
        [(body,)] = connection.execute("SELECT body FROM journal").fetchall()
        later = bytes([body[0], journal.VERSION + 1]) + body[2:]
        connection.execute("UPDATE journal SET body = ?", (later,))
    [found] = verify(left, None).findings
    assert found.fault is Fault.UNREADABLE


def test_answers_without_a_place_stay_without_one() -> None:
    row = "00000003 000000000000 000000000005 0000 00000002 000000000007 000000000006 0000"
    alone, placed = unpack_answers(bytes.fromhex("02" + row), 5)
    assert [alone.place(n) for n in (1, 2, 3)] == [0, 0, 0]
    assert [placed.place(n) for n in (4, 5)] == [7, 8]


async def test_the_database_of_an_older_version_is_taken_over(path: Path) -> None:
    with database(path) as connection:
        schema.migrate(connection, schema.migrations()[:4])
        connection.executescript(
            """INSERT INTO account VALUES (1, 'alice', 'alice', x'00', 1);
            INSERT INTO device VALUES (1, 1, 'a', x'01');
            INSERT INTO sending VALUES (1, 0, x'01', '');
            INSERT INTO receiving VALUES (1, 0, 0, 0, 0);"""
        )
    current = await open_store(path, LIMITS)
    standing = await current.standing(1)
    assert (standing.revoked, standing.one_time_keys) == (False, 0)
    assert await current.add_keys(1, [public_key(1)], public_key(2)) == 0, "it has no keys"
    with database(path) as connection:
        assert connection.execute("SELECT alone FROM sending").fetchall() == [(0,)]
    await current.aclose()


# --- cuts in between ------------------------------------------------------------------------------


async def test_a_key_that_was_given_is_gone_whatever_is_cut_off(path: Path) -> None:
    current, _, desk, _ = await begun(path)
    await current.add_keys(desk.device_id, [public_key(n) for n in (1, 2, 3)], None)
    given: list[int] = []
    for _ in range(3):
        keys = await current.claim_keys(desk.account_id, [desk.device])
        given.append(keys[desk.device].id)
        again = await open_store(cut_off(path, f"cut{given[-1]}"), LIMITS)
        rest = await again.claim_keys(desk.account_id, [desk.device])
        assert rest[desk.device].id not in given
        await again.aclose()
    assert given == [1, 2, 3]
    await current.aclose()


async def test_a_revocation_that_is_cut_off_is_whole_or_was_not(path: Path) -> None:
    current, alice, desk, phone = await begun(path)
    await current.add_keys(phone.device_id, [public_key(1)], None)
    for n in (1, 2):
        await seal(current, alice, "bob", n, [desk, phone])
    cuts = Cuts(path)
    await current._writing.call(lambda: cuts.watch(current._connection))
    await revoke(current, phone)
    await current._writing.call(cuts.look)
    await current._writing.call(lambda: current._connection.set_trace_callback(None))
    await current.aclose()
    seen = set()
    for left in cuts.left:
        assert verify(left, None).findings == []
        again = await open_store(left, LIMITS)
        account = await again.find_account("bob")
        assert account is not None
        standing = await again.standing(phone.device_id)
        parts = (
            len(account.links) == 3,
            account.devices[1].revoked,
            standing.revoked,
            not standing.one_time_keys,
            not await waiting(again, phone),
        )
        assert len(set(parts)) == 1, parts
        seen.add(parts[0])
        await again.aclose()
    assert True in seen


# --- verify ---------------------------------------------------------------------------------------


async def stocked(path: Path) -> tuple[Identity, Identity, Identity]:
    current, alice, desk, phone = await begun(path)
    await current.add_keys(phone.device_id, [public_key(1), public_key(2)], None)
    await seal(current, alice, "bob", 1, [desk, phone])
    await seal(current, alice, "bob", 2, [phone], only=True)
    await send(current, alice, "bob", 3)
    account = await current.find_account("alice")
    assert account is not None
    grown = await current.extend(enrolment(account, keys=True), NOW_MS)
    await current.extend(revocation(grown, alice.device), NOW_MS)
    await current.aclose()
    return alice, desk, phone


async def test_sealed_messages_are_complete(path: Path) -> None:
    await stocked(path)
    report = verify(path, None)
    assert report.findings == []
    assert len(report.mailboxes) == 4


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE sending SET alone = 0", Fault.TOTAL),
        ("UPDATE one_time_key SET number = 99 WHERE number = 2", Fault.KEY),
        ("UPDATE one_time_key SET key = x'00' WHERE number = 2", Fault.KEY),
        ("UPDATE fallback_key SET sig = x'00' WHERE device_id = 2", Fault.KEY),
        ("DELETE FROM fallback_key WHERE device_id = 3", Fault.REFERENCE),
        (
            "UPDATE receiving SET last_position = 1, waiting_since_ms = 1 WHERE state = 2",
            Fault.STATE,
        ),
    ],
)
async def test_what_does_not_fit_is_found(path: Path, damage: str, fault: Fault) -> None:
    await stocked(path)
    with database(path) as connection:
        connection.executescript(damage)
    assert fault in {found.fault for found in verify(path, None).findings}


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b'"seq":0', b'"seq":1', Fault.NUMBER),
        (b'"ciphertext":"1m2/', b'"message":"1m2/', Fault.FRAMES),
        (b'"ciphertext":"1m1/', b'"message":"x","ciphertext":"1m1/', Fault.FRAMES),
        (b'"n":2', b'"n":1', Fault.DOUBLED),
    ],
)
async def test_a_sealed_frame_that_was_altered_is_found(
    path: Path, old: bytes, new: bytes, fault: Fault
) -> None:
    *_, phone = await stocked(path)
    with database(path) as connection:
        select = "SELECT first_position, frames FROM mailbox WHERE device_id = ?"
        rows = connection.execute(select, (phone.device_id,)).fetchall()
        assert any(old in frames for _, frames in rows)
        for first, frames in rows:
            connection.execute(
                "UPDATE mailbox SET frames = ? WHERE device_id = ? AND first_position = ?",
                (frames.replace(old, new), phone.device_id, first),
            )
    assert fault in {found.fault for found in verify(path, None).findings}


async def test_the_same_number_for_two_devices_alone_is_found(path: Path) -> None:
    _, desk, phone = await stocked(path)
    with database(path) as connection:
        select = "SELECT frames FROM mailbox WHERE device_id = ?"
        rows = connection.execute(select, (phone.device_id,)).fetchall()
        [frames] = [each for (each,) in rows if b'"seq":0' in each]
        copy = frames.replace(b'"position":2', b'"position":3')
        connection.execute("INSERT INTO mailbox VALUES (?, 3, 3, ?, x'')", (desk.device_id, copy))
        connection.execute(
            "UPDATE receiving SET last_position = 3 WHERE device_id = ?", (desk.device_id,)
        )
    [found] = verify(path, None).findings
    assert (found.fault, found.detail) == (Fault.DOUBLED, "2")
