"""The catching up of one session against a store that answers when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from jim.bus.local import LocalBus
from jim.core.hub import Hub
from jim.core.limits import Limits
from jim.core.model import Identity, Segment, Standing
from jim.server.catch_up import CatchUp

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from jim.errors import JimError

ALICE = Identity(account_id=1, device_id=1, name="alice", device="d" * 16)


def segment(first: int, last: int) -> Segment:
    frames = b"".join(b"%d\n" % position for position in range(first, last + 1))
    return Segment(account_id=1, device_id=1, first=first, last=last, frames=frames)


class Bench:
    """A hub with one session, an outlet that keeps what it gets, and a store with a gate."""

    def __init__(self, position: int) -> None:
        self.bus = LocalBus()
        self.hub = Hub(self.bus, Limits(), lambda: 0)
        self.sent: list[bytes] = []
        self.closing = False
        self.began_s = 0.0
        self.answers: asyncio.Queue[list[Segment]] = asyncio.Queue()
        self.asked: list[int] = []
        self.is_writable = asyncio.Event()
        self.is_writable.set()
        self.tasks: list[asyncio.Task[None]] = []
        self.node: Any = SimpleNamespace(
            hub=self.hub, store=self, limits=Limits(), spawn=self.spawn
        )
        self.link = self.hub.attach(self, ALICE, Standing(0, position, 0), [])
        self._catch_up = CatchUp(self, self.link)  # type: ignore[arg-type]

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.ensure_future(coroutine))

    def send(self, data: bytes) -> None:
        self.sent += data.split()

    send_along = send

    def close(self, error: JimError) -> None:
        raise AssertionError(error)

    def fail(self, error: Exception) -> None:
        raise AssertionError(error)

    guarded = contextlib.nullcontext

    def catch_up(self) -> None:
        self._catch_up.start()

    async def writable(self) -> None:
        await self.is_writable.wait()

    async def load_after(self, device_id: int, position: int, limit_bytes: int) -> list[Segment]:
        assert device_id == 1
        assert limit_bytes == Limits().page_bytes
        self.asked.append(position)
        return await self.answers.get()

    async def answer(self, *segments: Segment) -> None:
        await turns()
        self.answers.put_nowait(list(segments))
        await turns()

    def is_live(self) -> bool:
        return self.link.live

    def positions(self) -> list[int]:
        return [int(frame) for frame in self.sent]


async def turns() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


async def test_page_by_page_to_the_end_then_live() -> None:
    bench = Bench(position=5)
    bench.hub.sync(bench.link, 0)
    await bench.answer(segment(1, 2))
    await bench.answer(segment(3, 5))
    assert not bench.is_live()
    await bench.answer()
    assert bench.asked == [0, 2, 5]
    assert bench.is_live()
    bench.bus.publish(1, segment(6, 6))
    assert bench.positions() == [1, 2, 3, 4, 5, 6]


async def test_only_one_at_a_time() -> None:
    bench = Bench(position=5)
    bench.hub.sync(bench.link, 0)
    for _again in range(3):
        bench.catch_up()
    await turns()
    assert bench.asked == [0]
    assert len(bench.tasks) == 1
    await bench.answer(segment(1, 5))
    await bench.answer()
    assert bench.tasks[0].done()


async def test_a_sync_during_the_reading_starts_again_without_a_gap() -> None:
    bench = Bench(position=5)
    bench.hub.sync(bench.link, 3)
    bench.link.acked = 0
    await turns()
    bench.hub.sync(bench.link, 1)
    await bench.answer(segment(4, 5))
    assert bench.positions() == []
    assert bench.asked == [3, 1]
    await bench.answer(segment(2, 5))
    assert bench.positions() == [2, 3, 4, 5]


async def test_a_commit_during_an_empty_reading_is_not_forgotten() -> None:
    bench = Bench(position=5)
    bench.hub.sync(bench.link, 5)
    bench.catch_up()
    await turns()
    bench.bus.publish(1, segment(6, 6))
    await bench.answer()
    await bench.answer(segment(6, 6))
    assert bench.positions() == [6]
    await bench.answer()
    assert bench.asked == [5, 5, 6]
    assert bench.is_live()


async def test_a_mailbox_that_is_empty_after_all_ends_the_reading() -> None:
    bench = Bench(position=5)
    bench.hub.sync(bench.link, 0)
    await bench.answer()
    assert bench.is_live()
    assert bench.tasks[0].done()


async def test_nothing_is_sent_to_who_does_not_read() -> None:
    bench = Bench(position=5)
    bench.is_writable.clear()
    bench.hub.sync(bench.link, 0)
    await bench.answer(segment(1, 5))
    assert bench.positions() == []
    bench.is_writable.set()
    await turns()
    assert bench.positions() == [1, 2, 3, 4, 5]


async def test_it_ends_with_the_connection() -> None:
    bench = Bench(position=5)
    bench.hub.sync(bench.link, 0)
    await turns()
    bench.closing = True
    await bench.answer(segment(1, 2))
    assert bench.positions() == []
    assert bench.tasks[0].done()
    bench.catch_up()
    assert len(bench.tasks) == 1
