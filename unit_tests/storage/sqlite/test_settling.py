"""The tables learn of everything in time, and a failure on the way ends the store."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.errors import StoreError
from jim.storage.sqlite import files, open_store, store, write_back, writing
from unit_tests.support.accounts import ack, add_account, send
from unit_tests.support.cuts import database, entries, opened

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _unsettled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything in the journal for as long as a test takes."""
    monkeypatch.setattr(store, "SETTLE_S", 1e6)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


async def test_who_is_quiet_holds_up_no_entry_of_the_busy_ones(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "MAX_ENTRIES", 10)
    monkeypatch.setattr(write_back, "MIN_SHARE", 1)
    current = await open_store(path, Limits())
    [quiet] = await add_account(current, "quiet")
    [alice] = await add_account(current, "alice")
    await add_account(current, "bob")
    await send(current, quiet, "bob", 1)
    lengths = []
    for n in range(1, 100):
        await send(current, alice, "bob", n)
        lengths.append(len(entries(path)))
    assert max(lengths) <= 30
    await current.aclose()


async def test_the_size_of_what_was_dropped_no_longer_counts(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "MAX_ENTRIES", 10)
    monkeypatch.setattr(write_back, "MAX_BYTES", 10_000)
    current, alice, _ = await opened(path)
    lengths = []
    for n in range(1, 200):
        await send(current, alice, "bob", n)
        lengths.append(len(entries(path)))
    assert max(lengths[-20:]) >= 10
    await current.aclose()


async def test_a_quiet_server_forgets_again_and_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 0.01)
    current, alice, bob = await opened(path)
    for n in (1, 2, 3):
        await send(current, alice, "bob", n)
        await ack(current, bob, n)
        async with asyncio.timeout(10):
            while entries(path):
                await asyncio.sleep(0.01)
    await current.aclose()


async def test_large_messages_are_settled_bit_by_bit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "AT_ONCE", write_back.Share(items=256, size_bytes=100_000))
    current = await open_store(path, Limits())
    [alice] = await add_account(current, "alice")
    names = [f"bob{k}" for k in range(8)]
    for name in names:
        await add_account(current, name)
    for n, name in enumerate(names, 1):
        await send(current, alice, name, n, text="x" * 60_000)
    last, settled = current._batches.last_commit, []
    more = True
    while more:
        more = await current._writing.call(lambda: current._batches.settle_some(last))
        with database(path) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM mailbox")
        settled.append((count, len(entries(path))))
    assert [count for count, _ in settled][:4] == [2, 4, 6, 8]
    left = [8, *(length for _, length in settled)]
    assert all(0 <= before - after <= 2 for before, after in itertools.pairwise(left))
    assert left[-1] == 0
    assert current._batches.is_settled
    await current.aclose()


async def test_what_was_forgotten_is_not_in_the_file_either(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_back, "MAX_BYTES", 200_000)
    monkeypatch.setattr(store, "SETTLE_S", 0.3)
    current, alice, bob = await opened(path)
    for n in range(1, 80):
        await send(current, alice, "bob", n, text=f"a secret of {n:03} pages " * 600)
        await ack(current, bob, n)
    await send(current, bob, "alice", 1, text="goodbye")
    await ack(current, alice, 1)
    async with asyncio.timeout(10):
        while entries(path):
            await asyncio.sleep(0.01)
    await current.aclose()
    assert not path.with_name("server.db-wal").exists(), "it would hold what the file has had"
    raw = path.read_bytes()
    assert len(raw) > 200_000, "there have been messages in it"
    assert b"a secret" not in raw


async def test_traffic_writes_every_message_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LOG_BYTES", 1 << 30)  # the log holds everything that was written
    monkeypatch.setattr(store, "LOG_WRITES", 1 << 30)
    monkeypatch.setattr(write_back, "MAX_BYTES", 1_000_000)
    current, alice, bob = await opened(path)
    log = path.with_name("server.db-wal")
    text = "x" * 80_000
    begun_bytes = 0
    for n in range(1, 300):
        if n == 100:
            begun_bytes = log.stat().st_size
        await send(current, alice, "bob", n, text=text)
        await ack(current, bob, n)
    written_bytes = log.stat().st_size - begun_bytes
    # Beside the message's ten pages a commit writes five: tables, and where the journal begins and
    # ends. Pages of an entry that no new one takes the place of would be ten more, with zeros.
    assert 1.0 < written_bytes / (200 * len(text)) < 2.0
    await current.aclose()
    assert path.stat().st_size < 4_000_000


async def test_a_failure_of_settling_ends_the_store(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 0.01)
    current, alice, bob = await opened(path)
    row = (bob.device_id, 1, 1, b"", b"")
    await current._writing.call(
        lambda: current._connection.execute("INSERT INTO mailbox VALUES (?, ?, ?, ?, ?)", row)
    )
    await send(current, alice, "bob", 1)
    async with asyncio.timeout(10):
        while current._failure is None or current._settling is None:
            await asyncio.sleep(0.01)
        await asyncio.wait([current._settling])
    assert current._settling.exception() is None, "nobody would hear of it there"
    with pytest.raises(StoreError, match="UNIQUE"):
        await current.standing(alice.device_id)
    with pytest.raises(StoreError, match="UNIQUE"):
        await send(current, alice, "bob", 2)
    await current.aclose()
