"""A power cut between any two statements leaves what was there before a call, or behind it."""

from __future__ import annotations

import contextlib
import copy
import random
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.storage.memory import MemoryStore
from jim.storage.sqlite import journal, open_store, store, write_back
from jim.storage.sqlite.overlay import lay_over
from jim.storage.sqlite.verify import verify
from unit_tests.support.accounts import NOW_MS, add_account
from unit_tests.support.cuts import Cuts, database, entries
from unit_tests.support.outcomes import Append, batch_of
from unit_tests.support.store_model import NAMES, compare, grow, plain, random_batch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

    from jim.core.model import Identity
    from jim.storage.sqlite import SqliteStore

LIMITS = Limits(window=5, waiting_messages=12)
TABLES = {
    "sending": "device_id, last_n, last_mark, answers",
    "receiving": "device_id, last_position, acked, state, waiting_since_ms",
    "mailbox": "device_id, first_position, last_position, frames, marks",
    "conversation": "conversation_id, low, high, last_seq, last_ms",
    "member": "account_id, conversation_id, wrote, delivered_seq",
}


@pytest.mark.parametrize(("length", "size_bytes"), [(4, 2_000), (128, 100_000)])
@pytest.mark.parametrize("seed", range(2))
async def test_between_any_two_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, size_bytes: int, seed: int
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 1e6)
    monkeypatch.setattr(write_back, "MAX_ENTRIES", length)
    monkeypatch.setattr(write_back, "MIN_SHARE", 2)
    monkeypatch.setattr(write_back, "MAX_BYTES", size_bytes)
    rng = random.Random(f"{seed} {length}")
    model = MemoryStore(LIMITS)
    current = await open_store(tmp_path / "server.db", LIMITS)
    devices: list[Identity] = []
    for name in NAMES:
        devices += await add_account(model, name, 2, keys=name != "e")
        await add_account(current, name, 2, keys=name != "e")
    cuts = Cuts(current.path)
    await current._writing.call(lambda: cuts.watch(current._connection))
    watched: list[Path] = []
    for step in range(25):
        before = copy.deepcopy(model)
        if rng.random() < 0.1:
            await current._write(current._batches.settle)
        if rng.random() < 0.2:
            await grow(model, current, rng, devices)
        else:
            batch = random_batch(rng, devices, [await model.standing(d.device_id) for d in devices])
            told = await current.commit(batch, NOW_MS + step)
            assert plain(told) == plain(await model.commit(batch, NOW_MS + step))
        cuts.look()
        watched += cuts.left
        while cuts.left:
            left = cuts.left.pop(0)
            states = [before, model] if cuts.left else [model]
            await assert_is_one_of(left, states, devices)
    assert len(watched) > 10
    await current.aclose()
    for left in cuts.left:
        await assert_is_one_of(left, [model], devices)


async def assert_is_one_of(
    left: Path, states: Sequence[MemoryStore], devices: list[Identity]
) -> None:
    assert verify(left, None).findings == []
    with database(left) as connection:
        lay_over(connection)
        looked = read(connection)
    again = await open_store(left, LIMITS)
    with database(left) as connection:
        assert read(connection) == looked
    *earlier, last = states
    for state in earlier:
        with contextlib.suppress(AssertionError):
            await compare_whole(state, again, devices)
            break
    else:
        await compare_whole(last, again, devices)
    await again.aclose()


def read(connection: sqlite3.Connection) -> dict[str, object]:
    return {
        table: connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2").fetchall()
        for table, columns in TABLES.items()
    }


async def compare_whole(model: MemoryStore, current: SqliteStore, devices: list[Identity]) -> None:
    """Compare what can be read, and the answers to numbers that were used."""
    known = [device for device in devices if device.device_id in model._devices]
    await compare(model, current, known)
    again = []
    for device in known:
        last_n = (await model.standing(device.device_id)).last_n
        again += [
            Append(device, n, "nobody", "again") for n in range(max(1, last_n - 6), last_n + 1)
        ]
    batch = batch_of(again)
    assert plain(await current.commit(batch, 1)) == plain(await model.commit(batch, 1))


async def test_between_the_statements_of_an_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 1e6)
    rng = random.Random(1)
    model = MemoryStore(LIMITS)
    current = await open_store(tmp_path / "server.db", LIMITS)
    devices: list[Identity] = []
    for name in NAMES:
        devices += await add_account(model, name, keys=name != "e")
        await add_account(current, name, keys=name != "e")
    for step in range(40):
        batch = random_batch(rng, devices, [await model.standing(d.device_id) for d in devices])
        await current.commit(batch, NOW_MS + step)
        await model.commit(batch, NOW_MS + step)
    cuts = Cuts(current.path)
    cuts.look()
    [left] = cuts.left
    assert len(entries(left)) > 10
    await current.aclose()

    inside = Cuts(left)
    fold = journal.fold

    def watched(connection: sqlite3.Connection) -> None:
        inside.watch(connection)
        fold(connection)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "fold", watched)
        await (await open_store(left, LIMITS)).aclose()
    assert inside.left
    for each in inside.left:
        await assert_is_one_of(each, [model], devices)
