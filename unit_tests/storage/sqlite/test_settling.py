"""The tables learn of everything in time, and a failure on the way ends the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.errors import StoreError
from jim.storage.sqlite import open_store, store, write_back
from unit_tests.support.accounts import ack, add_account, send
from unit_tests.support.cuts import entries, opened

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
