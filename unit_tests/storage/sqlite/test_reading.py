"""Who reads a mailbox beside the writer sees what is committed, whatever the writer is doing."""

from __future__ import annotations

import asyncio
import random
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.storage.sqlite import files, open_store, reading, store, write_back
from unit_tests.support.accounts import NOW_MS, add_account, send
from unit_tests.support.outcomes import Append, batch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jim.core.counters import PlannedSegment
    from jim.core.model import Segment
    from jim.storage.sqlite import SqliteStore

PAGE_BYTES = 100_000


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(store, "SETTLE_S", 1e6)
    return tmp_path / "server.db"


class Onlooker:
    """Reads a mailbox before each statement of the writer, in its thread, as the reader would.

    The reader looks into memory first; it may read the table then, or only some statements later.
    """

    def __init__(self, current: SqliteStore, device_id: int) -> None:
        self._current = current
        self._device_id = device_id
        self._looked: list[tuple[tuple[PlannedSegment, ...], int]] = []
        self.committed: list[Segment] = []
        self.acked = 0
        """Also in a commit that has not come back."""
        self.looks = 0
        """Those that came to an end: what is raised inside goes unheard."""
        self.statements = 0
        self.wrong: list[object] = []

    def watch(self) -> None:
        self._reader = files.open_reader(self._current.path)
        self._current._connection.set_trace_callback(self.look)

    def look(self, _: str) -> None:
        self.statements += 1
        newest = self._current._counters.waiting(self._device_id)
        self._looked = [*self._looked[-3:], (newest, self._last)]
        for seen, last in self._looked:
            found = reading.load_after(self._reader, seen, self._device_id, self.acked, PAGE_BYTES)
            if not self._is_right(found, last):
                self.wrong.append((self.acked, last, self.committed[-3:], found))
            self.looks += 1

    def close(self) -> None:
        self._current._connection.set_trace_callback(None)
        self._reader.close()

    @property
    def _last(self) -> int:
        return self.committed[-1].last if self.committed else 0

    def _is_right(self, found: list[Segment], last: int) -> bool:
        """Tell whether it is what follows on the confirmed ones, up to `last` at least."""
        behind = [each for each in self.committed if each.last > self.acked]
        wanted = [each for each in behind if each.last <= last]
        return found == behind[: len(found)] and len(found) >= len(wanted)


@pytest.mark.parametrize("seed", range(6))
async def test_a_reader_sees_what_is_committed_at_any_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(write_back, "MAX_ENTRIES", 3)
    monkeypatch.setattr(write_back, "MIN_SHARE", 1)
    rng = random.Random(seed)
    current = await open_store(path, Limits())
    [alice] = await add_account(current, "alice")
    [bob] = await add_account(current, "bob")
    onlooker = Onlooker(current, bob.device_id)
    await current._writing.call(onlooker.watch)
    n = 0
    for _ in range(60):
        if rng.random() < 0.15:
            await current._write(current._batches.settle)
        appends = [Append(alice, n + k, "bob", f"text {n + k}") for k in range(1, rng.randrange(4))]
        acks = {}
        if rng.random() < 0.4:
            onlooker.acked = rng.randint(onlooker.acked, n)
            acks[bob.device_id] = onlooker.acked
        n += len(appends)
        committed = await current.commit(batch_of(appends, acks), NOW_MS)
        onlooker.committed += committed.segments
    await current._writing.call(onlooker.close)
    assert onlooker.wrong == []
    assert onlooker.looks == 4 * onlooker.statements - 6 > 500
    await current.aclose()


async def test_nobody_who_only_reads_waits_for_the_disk_of_the_writer(path: Path) -> None:
    current = await open_store(path, Limits())
    [alice] = await add_account(current, "alice")
    [bob] = await add_account(current, "bob")
    await send(current, alice, "bob", 1)
    flushed = threading.Event()
    flushing = asyncio.create_task(current._writing.call(partial(flushed.wait, 60)))
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        assert len(await current.load_after(bob.device_id, 0, PAGE_BYTES)) == 1
        assert await current.receipts(alice.account_id, ["bob"]) == {"bob": (0, 1)}
        assert [each.name for each in await current.visible(bob.account_id)] == ["alice"]
        assert [each.name for each in await current.visible_to(alice.account_id)] == ["bob"]
    assert not flushing.done()
    flushed.set()
    await flushing
    await current.aclose()


@pytest.mark.parametrize("delayed_step", ["memory", "table"])
async def test_a_reader_looks_into_memory_before_it_reads_the_table(
    path: Path, monkeypatch: pytest.MonkeyPatch, delayed_step: str
) -> None:
    current = await open_store(path, Limits())
    [alice] = await add_account(current, "alice")
    [bob] = await add_account(current, "bob")
    loop = asyncio.get_running_loop()
    sent = [0]

    async def go_on() -> None:
        sent.append(sent[-1] + 1)
        await send(current, alice, "bob", sent[-1])
        await current._write(current._batches.settle)

    def meanwhile(function: Callable[..., Sequence[object]]) -> Callable[..., Sequence[object]]:
        """Let the writer go on just before the reader does this."""

        def delayed(*arguments: object) -> Sequence[object]:
            asyncio.run_coroutine_threadsafe(go_on(), loop).result(10)
            return function(*arguments)

        return delayed

    if delayed_step == "memory":
        monkeypatch.setattr(current._counters, "waiting", meanwhile(current._counters.waiting))
    else:
        monkeypatch.setattr(reading, "load_after", meanwhile(reading.load_after))
    for _ in range(3):
        sent.append(sent[-1] + 1)
        await send(current, alice, "bob", sent[-1])
        least = sent[-1]
        found = await current.load_after(bob.device_id, 0, PAGE_BYTES)
        assert [each.first for each in found] == list(range(1, len(found) + 1))
        assert len(found) >= least
    await current.aclose()
