"""When commits happen: never two at once, messages never by a timer, all that gathered together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.errors import StoreError
from jim.server.committer import Committer

if TYPE_CHECKING:
    from jim.core.model import Batch, Committed


class Taken(list[int]):
    steady_ms: int | None = None


class FakeHub:
    """Notes what it is told, and whether it was told while sending was held."""

    def __init__(self) -> None:
        self.is_held = False
        self.gathered: list[int] = []
        self.batches: list[list[int]] = []
        self.results: list[list[int]] = []

    @property
    def has_messages(self) -> bool:
        return any(item > 0 for item in self.gathered)

    def take(self) -> Taken | None:
        taken, self.gathered = Taken(self.gathered), []
        if taken:
            self.batches.append(taken)
        return taken or None

    def committed(self, result: list[int]) -> None:
        assert self.is_held, "every frame would be sent by itself"
        self.results.append(result)

    def __enter__(self) -> None:
        self.is_held = True

    def __exit__(self, *_: object) -> None:
        self.is_held = False


class FakeStore:
    def __init__(self) -> None:
        self.running = 0
        self.gates: list[asyncio.Future[None]] = []
        self.error: Exception | None = None

    async def commit(self, batch: Batch, now_ms: int) -> Committed:
        assert self.running == 0, "two commits at once"
        assert (now_ms, batch.steady_ms) == (1_000, 2_000)
        self.running += 1
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        self.running -= 1
        if self.error:
            raise self.error
        return batch  # type: ignore[return-value]


class Bench:
    def __init__(self) -> None:
        self.hub, self.store = FakeHub(), FakeStore()
        self.failures: list[StoreError] = []
        self.committer = Committer(
            self.hub,  # type: ignore[arg-type]
            self.store,  # type: ignore[arg-type]
            self.hub,
            lambda: 1_000,
            self.failures.append,
            lambda: 2_000,
        )

    def add(self, item: int) -> None:
        self.hub.gathered.append(item)
        self.committer.wake()

    def confirm(self, item: int) -> None:
        """Confirmations are the negative ones."""
        self.hub.gathered.append(item)
        self.committer.wake_later()

    async def finish_commit(self) -> None:
        await turns()
        self.store.gates.pop(0).set_result(None)
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_turn_of_the_loop_is_one_batch() -> None:
    bench = Bench()
    for item in range(5):
        bench.add(item)
    assert bench.hub.batches == []
    await bench.finish_commit()
    assert bench.hub.results == [[0, 1, 2, 3, 4]]


async def test_what_arrives_during_a_commit_is_the_next_batch() -> None:
    bench = Bench()
    bench.add(1)
    await turns()
    for item in (2, 3):
        bench.add(item)
        await turns()
    assert bench.hub.batches == [[1]]
    await bench.finish_commit()
    assert bench.hub.results == [[1]]
    await bench.finish_commit()
    assert bench.hub.results == [[1], [2, 3]]
    bench.add(4)
    await bench.finish_commit()
    assert bench.hub.results[-1] == [4]


async def test_settled_waits_for_what_has_gathered_and_no_longer() -> None:
    bench = Bench()
    await bench.committer.settled()
    bench.add(1)
    await turns()
    bench.add(2)
    waiting = asyncio.ensure_future(bench.committer.settled())
    await turns()
    await bench.finish_commit()
    bench.add(3)
    assert not waiting.done()
    await bench.finish_commit()
    assert waiting.done()
    assert bench.hub.results == [[1], [2]]
    await bench.finish_commit()


async def test_a_confirmation_rides_with_the_next_message() -> None:
    bench = Bench()
    bench.confirm(-1)
    await turns()
    assert bench.hub.batches == []
    bench.add(1)
    bench.confirm(-2)
    await bench.finish_commit()
    assert bench.hub.results == [[-1, 1, -2]]
    bench.confirm(-3)
    await turns()
    assert len(bench.hub.batches) == 1


@pytest.mark.parametrize("while_committing", [False, True])
async def test_a_confirmation_without_a_message_is_committed_a_moment_later(
    while_committing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jim.server.committer.CONFIRM_S", 0.0)
    bench = Bench()
    if while_committing:
        bench.add(1)
        await turns()
    bench.confirm(-1)
    while not bench.committer._is_due and len(bench.hub.batches) == while_committing:
        await asyncio.sleep(0.001)
    for _ in range(1 + while_committing):
        await bench.finish_commit()
    assert bench.hub.results[-1] == [-1]


async def test_settled_does_not_leave_a_confirmation_behind() -> None:
    bench = Bench()
    bench.confirm(-1)
    waiting = asyncio.ensure_future(bench.committer.settled())
    await turns()
    assert not waiting.done()
    await bench.finish_commit()
    await waiting
    assert bench.hub.results == [[-1]]


@pytest.mark.parametrize("error", [StoreError("disk"), ZeroDivisionError("bug")])
async def test_after_a_failure_nothing_is_committed_or_answered_any_more(error: Exception) -> None:
    bench = Bench()
    bench.store.error = error
    bench.add(1)
    await turns()
    waiting = asyncio.ensure_future(bench.committer.settled())
    await bench.finish_commit()
    assert bench.hub.results == []
    assert len(bench.failures) == 1
    assert isinstance(bench.failures[0], StoreError)
    with pytest.raises(StoreError):
        await waiting
    bench.add(2)
    await turns()
    assert bench.store.gates == []
    assert bench.hub.batches == [[1]]
    with pytest.raises(StoreError):
        await bench.committer.settled()
