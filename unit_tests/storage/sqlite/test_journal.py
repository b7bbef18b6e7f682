"""What only the journal has is as good as what the tables have: after a cut, and to who looks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.core.model import Batch
from jim.errors import StoreCorrupt, StoreError
from jim.storage.memory import MemoryStore
from jim.storage.sqlite import journal, open_store, reading, store, write_back
from jim.storage.sqlite.verify import verify
from unit_tests.support.accounts import NOW_MS, ack, add_account, enrolment, send
from unit_tests.support.cuts import cut_off, database, entries, opened
from unit_tests.support.outcomes import Append, batch_of, outcomes, refused, stored
from unit_tests.support.store_model import NAMES, compare, grow, plain, random_batch

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore

LIMITS = Limits(window=5, waiting_messages=12)


@pytest.fixture(autouse=True)
def _unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything in the journal for as long as a test takes."""
    monkeypatch.setattr(store, "SETTLE_S", 1e6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


@pytest.mark.parametrize(
    ("length", "share", "size_bytes"), [(1, 1, 100), (7, 2, 900), (128, 8, 8000)]
)
@pytest.mark.parametrize("seed", range(4))
async def test_a_cut_at_any_moment_loses_nothing(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    length: int,
    share: int,
    size_bytes: int,
    seed: int,
) -> None:
    monkeypatch.setattr(write_back, "MAX_ENTRIES", length)
    monkeypatch.setattr(write_back, "MIN_SHARE", share)
    monkeypatch.setattr(write_back, "MAX_BYTES", size_bytes)
    rng = random.Random(f"{seed} {length}")
    model = MemoryStore(LIMITS)
    current = await open_store(path, LIMITS)
    devices: list[Identity] = []
    for name in NAMES:
        count = rng.randrange(1, 3)
        devices += await add_account(model, name, count, keys=name != "e")
        await add_account(current, name, count, keys=name != "e")
    only_journaled = 0
    for step in range(80):
        if rng.random() < 0.05:
            await grow(model, current, rng, devices)
        batch = random_batch(rng, devices, [await model.standing(d.device_id) for d in devices])
        now_ms = NOW_MS + step * 1_000
        assert plain(await current.commit(batch, now_ms)) == plain(
            await model.commit(batch, now_ms)
        )
        if rng.random() < 0.1:
            left = cut_off(path, f"cut{step}")
            only_journaled += len(entries(left))
            report = verify(left, None)
            assert report.findings == []
            assert len(report.mailboxes) == len(devices)
            await current.aclose()
            path = left
            current = await open_store(path, LIMITS)
            assert entries(path) == []
            await compare(model, current, devices)
            assert verify(path, None).findings == []
        if rng.random() < 0.1:
            await compare(model, current, devices)
    await compare(model, current, devices)
    assert only_journaled
    await current.aclose()
    assert entries(path) == []


async def test_a_commit_of_more_than_a_window_is_replayed(path: Path) -> None:
    current, alice, _ = await opened(path, Limits(window=4))
    await send(current, alice, "bob", 1, 2)
    await send(current, alice, "bob", *range(3, 30))
    left = cut_off(path, "cut")
    await current.aclose()
    again = await open_store(left, Limits(window=4))
    assert (await again.standing(alice.device_id)).last_n == 29
    told = outcomes(await send(again, alice, "bob", 26, 30))
    assert [stored(each).seq for each in told] == [26, 30]
    await again.aclose()
    assert verify(left, None).findings == []


async def test_the_answers_before_a_commit_of_more_than_a_window_are_gone(path: Path) -> None:
    current, alice, _ = await opened(path, Limits(window=4))
    await send(current, alice, "bob", 1, 2)
    # To two people in turns: each message is an answer of its own, of which the last four stay.
    appends = [Append(alice, n, ("alice", "bob")[n % 2], "hi") for n in range(3, 30)]
    await current.commit(batch_of(appends), NOW_MS)
    left = cut_off(path, "cut")
    await current.aclose()
    for each in (path, left):
        again = await open_store(each, Limits())
        told = outcomes(await send(again, alice, "bob", *range(22, 30)))
        refused(told[3])
        assert [stored(one).seq for one in told[4:]] == [12, 15, 13, 16]
        await again.aclose()


async def test_the_journal_is_short_while_traffic_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "MAX_ENTRIES", 10)
    current, alice, bob = await opened(path)
    lengths = []
    for n in range(1, 120):
        await send(current, alice, "bob", n)
        await ack(current, bob, n)
        lengths.append(len(entries(path)))
    # Four counters, so all of them are written together once each has waited long enough.
    assert max(lengths) <= 30
    assert lengths[-1]
    await current.aclose()


async def test_large_commits_leave_no_large_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "MAX_BYTES", 50_000)
    current = await open_store(path, Limits())
    people = [(await add_account(current, f"u{k}"))[0] for k in range(30)]
    numbers = dict.fromkeys(range(30), 0)
    for step in range(100):
        numbers[step % 30] += 1
        await send(
            current, people[step % 30], f"u{step % 29}", numbers[step % 30], text="x" * 8_000
        )
        size_bytes = sum(len(each.frames) for entry in entries(path) for each in entry.added)
        assert size_bytes < 2 * 50_000 + 20_000 + 2 * 50_000, "what is needed, and what is spent"
    await current.aclose()


async def test_a_quiet_server_forgets_what_was_collected(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 0.01)
    current, alice, bob = await opened(path)
    await send(current, alice, "bob", 1, text="a secret")
    await ack(current, bob, 1)
    async with asyncio.timeout(10):
        while entries(path):
            await asyncio.sleep(0.01)
    with database(path) as connection:
        assert connection.execute("SELECT * FROM mailbox").fetchall() == []
        assert connection.execute("SELECT max(last_n) FROM sending").fetchone() == (1,)
    await current.aclose()


async def test_a_commit_whose_caller_is_cancelled_is_forgotten_as_soon(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 0.01)
    current, alice, _ = await opened(path)
    committing = asyncio.create_task(send(current, alice, "bob", 1))
    await asyncio.sleep(0)
    committing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await committing
    assert (await current.standing(alice.device_id)).last_n == 1
    async with asyncio.timeout(10):
        while entries(path):
            await asyncio.sleep(0.01)
    await current.aclose()


async def test_what_is_confirmed_soon_never_gets_into_its_mailbox(path: Path) -> None:
    current, alice, bob = await opened(path)
    await send(current, alice, "bob", 1, 2)
    await ack(current, bob, 1)
    assert [s.first for s in await current.load_after(bob.device_id, 1, 1000)] == [1]
    await ack(current, bob, 2)
    await send(current, alice, "bob", 3)
    assert [s.first for s in await current.load_after(bob.device_id, 2, 1000)] == [3]
    await current._write(current._batches.settle)
    with database(path) as connection:
        assert connection.execute("SELECT first_position FROM mailbox").fetchall() == [(3,)]
    await current.aclose()


async def test_a_reader_between_memory_and_table_misses_nothing_and_doubles_nothing(
    path: Path,
) -> None:
    current, alice, bob = await opened(path)
    for n in (1, 2, 3):
        await send(current, alice, "bob", n)
    await current._write(current._batches.settle)
    for n in (4, 5):
        await send(current, alice, "bob", n)
    newest = current._counters.waiting(bob.device_id)
    assert [each.segment.first for each in newest] == [4, 5]

    def load(after: int, limit_bytes: int) -> list[int]:
        found = reading.load_after(current._reader, newest, bob.device_id, after, limit_bytes)
        return [segment.first for segment in found]

    expected = [(0, [1, 2, 3, 4, 5]), (3, [4, 5]), (4, [5]), (5, [])]
    for settle in (False, True):
        if settle:
            await current._write(current._batches.settle)
            assert current._counters.waiting(bob.device_id) == ()
        for after, firsts in expected:
            assert await current._reading.call(partial(load, after, 10_000)) == firsts
            assert await current._reading.call(partial(load, after, 1)) == firsts[:1]
    await current.aclose()


async def test_who_asks_waits_for_no_commit(path: Path) -> None:
    # A flush of 300 ms held up everybody who wanted to know who is there.
    current, alice, bob = await opened(path)
    await send(current, alice, "bob", 1, 2)
    await ack(current, bob, 2)
    flushed = threading.Event()
    flushing = asyncio.create_task(current._writing.call(flushed.wait))
    async with asyncio.timeout(10):
        assert await current.receipts(alice.account_id, ["bob", "nobody"]) == {"bob": (2, 1)}
        assert [each.name for each in await current.visible(bob.account_id)] == ["alice"]
        assert [each.name for each in await current.visible_to(alice.account_id)] == ["bob"]
        assert await current.load_after(bob.device_id, 2, 1000) == []
    flushed.set()
    await flushing
    await current.aclose()


async def test_a_device_that_joins_inherits_what_only_the_journal_had(path: Path) -> None:
    current, alice, bob = await opened(path)
    await send(current, alice, "bob", 1, 2)
    await ack(current, bob, 1)
    account = await current.find_account("bob")
    assert account is not None
    grown = await current.enrol(enrolment(account), NOW_MS)
    heir = grown.devices[-1].device_id
    left = cut_off(path, "cut")
    await current.aclose()
    for each in (left, path):
        again = await open_store(each, Limits())
        assert [s.last for s in await again.load_after(heir, 0, 1000)] == [1]
        assert (await again.standing(bob.device_id)).acked == 1
        await again.aclose()
        assert verify(each, None).findings == []


async def test_nothing_is_written_for_a_batch_that_changes_nothing(path: Path) -> None:
    current = await open_store(path, Limits())
    [alice] = await add_account(current, "alice")
    before = entries(path)
    await current.commit(Batch([], {alice.device_id: 7}), NOW_MS)
    assert entries(path) == before == []
    assert current._batches.is_settled
    await current.aclose()


# --- a journal that does not fit ------------------------------------------------------------------


async def with_journal(path: Path) -> SqliteStore:
    current, alice, bob = await opened(path)
    for n in (1, 2, 3):
        await send(current, alice, "bob", n)
    await ack(current, bob, 1)
    return current


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("DELETE FROM journal WHERE commit_id = 2", "lacks"),
        ("UPDATE journal SET body = x'00' WHERE commit_id = 2", "entry 2"),
        ("UPDATE journal SET body = x'9701' WHERE commit_id = 2", "entry 2"),
        (
            "UPDATE receiving SET last_position = 0; DELETE FROM journal WHERE commit_id < 3",
            "lacks",
        ),
        ("PRAGMA foreign_keys = OFF; DELETE FROM sending WHERE device_id = 1", "no device 1"),
        ("PRAGMA foreign_keys = OFF; DELETE FROM receiving WHERE device_id = 2", "no device 2"),
    ],
)
async def test_a_journal_that_does_not_fit_is_damage(path: Path, damage: str, reason: str) -> None:
    current = await with_journal(path)
    left = cut_off(path, "cut")
    await current.aclose()
    count = "SELECT count(*) FROM journal"
    with database(left) as connection:
        connection.executescript(damage)
        before = connection.execute(count).fetchone()
    [found] = verify(left, None).findings
    assert reason in found.detail
    assert str(left) in found.detail
    with pytest.raises(StoreCorrupt, match=reason) as caught:
        await open_store(left, Limits())
    assert caught.value.fields["path"] == str(left)
    with database(left) as connection:
        assert connection.execute(count).fetchone() == before


@pytest.mark.parametrize(
    ("commit_id", "parts", "reason"),
    [
        (3, ["added"], "entry 3 .*mailbox 2 lacks segments"),
        (2, ["added", "received"], "entry 3 .*mailbox 2 lacks segments"),
        (2, ["sent"], "entry 3 .*device 1 lacks numbers"),
    ],
)
async def test_a_part_of_an_entry_that_is_missing_is_damage(
    path: Path, commit_id: int, parts: list[str], reason: str
) -> None:
    current = await with_journal(path)
    left = cut_off(path, "cut")
    await current.aclose()
    entry = entries(left)[commit_id - 1]
    for part in parts:
        setattr(entry, part, [])
    with database(left) as connection:
        row = (journal.encode(entry), commit_id)
        connection.execute("UPDATE journal SET body = ? WHERE commit_id = ?", row)
    with pytest.raises(StoreError, match=reason):
        await open_store(left, Limits())


async def test_a_number_that_no_table_can_hold_is_damage(path: Path) -> None:
    current = await with_journal(path)
    left = cut_off(path, "cut")
    await current.aclose()
    entry = entries(left)[2]
    entry.now_ms = 1 << 63
    with database(left) as connection:
        row = (journal.encode(entry),)
        connection.execute("UPDATE journal SET body = ? WHERE commit_id = 3", row)
    [found] = verify(left, None).findings
    assert "entry 3" in found.detail
    with pytest.raises(StoreCorrupt, match="entry 3"):
        await open_store(left, Limits())


def test_an_entry_says_which_version_it_is() -> None:
    entry = journal.Entry(1, [], [], [], [], [])
    assert journal._decode(journal.encode(entry)) == entry
    assert journal.encode(entry)[1] == journal.VERSION
