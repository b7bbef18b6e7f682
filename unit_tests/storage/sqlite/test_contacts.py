"""How people stand with each other is what was committed last, whatever the writer is doing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.core.model import Receipt
from jim.storage.memory import MemoryStore
from jim.storage.sqlite import contacts, files, open_store, store, write_back
from unit_tests.support.accounts import NOW_MS, add_account, send
from unit_tests.support.store_model import NAMES, plain, random_batch

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jim.core.model import Contact, Identity
    from jim.storage.sqlite import SqliteStore
    from jim.storage.sqlite.write_back import Recent

LIMITS = Limits(window=5, waiting_messages=12)

NONE = Receipt(0, 0)


class Onlooker:
    """Reads before each statement of the writer, in its thread, as the reader would.

    The reader looks into memory first; it may read the tables then, or only some statements later.
    """

    def __init__(self, current: SqliteStore) -> None:
        self._current = current
        self._looked: list[tuple[Mapping[int, Recent], dict[int, dict[str, Receipt]]]] = []
        self.receipts: dict[int, dict[str, Receipt]] = {}
        """Of each account, as of the last commit that came back."""
        self.visible: dict[int, list[Contact]] = {}
        self.wrong: list[object] = []
        self.begun = self.ended = 0
        """What is raised inside goes unheard, but for these."""

    def watch(self) -> None:
        self._reader = files.open_reader(self._current.path)
        self._current._connection.set_trace_callback(self._look)

    def close(self) -> None:
        self._current._connection.set_trace_callback(None)
        self._reader.close()

    def _look(self, _: str) -> None:
        self.begun += 1
        recent = self._current._batches.recent()
        self._looked = [*self._looked[-3:], (recent, self.receipts)]
        for account_id, now in self.receipts.items():
            seen = contacts.visible(self._reader, recent, account_id)
            if seen != self.visible[account_id]:
                self.wrong.append((seen, self.visible[account_id]))
            for earlier, then in self._looked:
                held = contacts.receipts(self._reader, earlier, account_id, NAMES)
                least = then.get(account_id, {})
                if not all(least.get(name, NONE) <= held[name] <= now[name] for name in held):
                    self.wrong.append((least, held, now))
                if not least.keys() <= held.keys() <= now.keys():
                    self.wrong.append((least, held, now))
        self.ended += 1


@pytest.mark.parametrize("seed", range(4))
async def test_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 1e6)
    monkeypatch.setattr(write_back, "MAX_ENTRIES", 3)
    monkeypatch.setattr(write_back, "MIN_SHARE", 1)
    rng = random.Random(seed)
    model = MemoryStore(LIMITS)
    current = await open_store(tmp_path / "server.db", LIMITS)
    devices: list[Identity] = []
    for name in NAMES:
        devices += await add_account(model, name, keys=name != "e")
        await add_account(current, name, keys=name != "e")
    onlooker = Onlooker(current)
    await current._writing.call(onlooker.watch)
    for step in range(40):
        ids = [device.account_id for device in devices]
        onlooker.receipts = {each: await model.receipts(each, NAMES) for each in ids}
        onlooker.visible = {each: await model.visible(each) for each in ids}
        if rng.random() < 0.15:
            await current._write(current._batches.settle)
        batch = random_batch(rng, devices, [await model.standing(d.device_id) for d in devices])
        now_ms = NOW_MS + rng.choice([step, -step])
        assert plain(await current.commit(batch, now_ms)) == plain(
            await model.commit(batch, now_ms)
        )
    await current._writing.call(onlooker.close)
    await current._write(current._batches.settle)
    assert current._batches.recent() == {}
    assert onlooker.wrong == []
    assert onlooker.ended == onlooker.begun > 100
    assert any(seq for found in onlooker.receipts.values() for seq in found.values())
    assert any(onlooker.visible.values())
    await current.aclose()


@pytest.mark.parametrize(
    ("writes_again", "after_ms", "latest"),
    [(0, -1_000, ["u1", "u2"]), (4, 1_000, ["u4", "u0"])],
    ids=["a clock was set back", "an old conversation"],
)
async def test_the_latest_of_those_that_the_table_ranks_otherwise(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    writes_again: int,
    after_ms: int,
    latest: list[str],
) -> None:
    monkeypatch.setattr(store, "SETTLE_S", 1e6)
    monkeypatch.setattr(contacts, "MAX_VISIBLE", 2)
    current = await open_store(tmp_path / "server.db", LIMITS)
    [bob] = await add_account(current, "bob")
    senders = [(await add_account(current, f"u{k}"))[0] for k in range(5)]
    for age_ms, sender in enumerate(senders):
        await send(current, sender, "bob", 1, now_ms=NOW_MS - age_ms)
    await current._write(current._batches.settle)
    await send(current, senders[writes_again], "bob", 2, now_ms=NOW_MS + after_ms)
    found = await current.visible(bob.account_id)
    assert [contact.name for contact in found] == latest
    await current.aclose()
