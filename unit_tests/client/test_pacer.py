"""A sender that keeps the announced rate is never held by a server that counts the same way."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client.pacer import Pacer
from jim.core.limits import Limits
from jim.core.rate import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = Limits().announced()


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay: float, callback: Callable[[], None]) -> Any:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self.now_s + delay, next(self._count), timer))
        return timer

    def run(self) -> None:
        """Let time pass until nothing is waited for."""
        while self._timers:
            when, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self.now_s = max(self.now_s, when)
                timer.callback()


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Server:
    """Counts as the server does, and notes how long it would have stopped reading."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._messages = Bucket(LIMITS.message_burst, LIMITS.messages_per_second)
        self._bytes = Bucket(LIMITS.byte_burst, LIMITS.bytes_per_second)
        self.longest_s = 0.0
        self.got: list[bytes] = []

    def read(self, data: bytes) -> None:
        frames = data.splitlines(keepends=True)
        self.got += frames
        now_s = self._clock.now_s
        waits = (self._messages.take(len(frames), now_s), self._bytes.take(len(data), now_s))
        self.longest_s = max(self.longest_s, *waits)


def frames(sizes: list[int]) -> list[bytes]:
    return [b"%0*d\n" % (size, number) for number, size in enumerate(sizes)]


@pytest.mark.parametrize("seed", range(5))
def test_a_window_of_anything_is_never_held_and_keeps_its_order(seed: int) -> None:
    dice = random.Random(seed)
    clock = Clock()
    server, pacer = Server(clock), Pacer(clock)
    pacer.start(LIMITS, server.read)
    sizes = [16_000] * 64 if seed == 0 else [dice.choice((40, 900, 16_000)) for _ in range(200)]
    posted = frames(sizes)
    pacer.post(posted)
    clock.run()
    assert server.got == posted
    assert server.longest_s < 0.01
    expected_s = sum(map(len, posted)) / LIMITS.bytes_per_second
    assert clock.now_s - 100 <= max(expected_s, len(posted) / LIMITS.messages_per_second)


def test_a_few_messages_go_at_once_and_what_else_is_sent_counts() -> None:
    clock = Clock()
    server, pacer = Server(clock), Pacer(clock)
    pacer.start(LIMITS, server.read)
    pacer.post(frames([100] * 5))
    assert len(server.got) == 5
    pacer.spend(LIMITS.message_burst, 100)
    pacer.post(frames([100]))
    assert len(server.got) == 5
    clock.run()
    assert len(server.got) == 6


def test_a_lost_connection_takes_what_waits_with_it_but_not_what_was_spent() -> None:
    clock = Clock()
    server, pacer = Server(clock), Pacer(clock)
    pacer.start(LIMITS, server.read)
    pacer.post(frames([16_000] * 64))
    before = len(server.got)
    pacer.stop()
    clock.run()
    assert len(server.got) == before
    pacer.start(LIMITS, server.read)
    pacer.post(frames([16_000] * 64))
    clock.run()
    assert len(server.got) == before + 64
    assert server.longest_s < 0.01


def test_a_server_without_limits_gets_everything_at_once() -> None:
    clock = Clock()
    server, pacer = Server(clock), Pacer(clock)
    free = msgspec.structs.replace(LIMITS, messages_per_second=0, bytes_per_second=0)
    pacer.start(free, server.read)
    pacer.post(frames([16_000] * 500))
    assert len(server.got) == 500


async def test_it_works_on_a_real_loop() -> None:
    done = asyncio.Event()
    got: list[bytes] = []

    def write(data: bytes) -> None:
        got.append(data)
        if b"".join(got) == b"".join(posted):
            done.set()

    pacer = Pacer(asyncio.get_running_loop())
    quick = msgspec.structs.replace(LIMITS, messages_per_second=200, message_burst=2)
    pacer.start(quick, write)
    posted = frames([50] * 10)
    pacer.post(posted)
    await asyncio.wait_for(done.wait(), 20)
    assert len(got) > 1, "not all at once"
