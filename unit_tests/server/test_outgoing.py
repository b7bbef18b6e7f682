"""The outgoing bound of one connection, to the byte: a transport that takes what the test says."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from jim.core.admission import Admission
from jim.core.limits import Limits
from jim.errors import Shutdown
from jim.server import outbox
from jim.server.connection import Connection, Visitor
from jim.server.outbox import Outbox

BOUND = 1_000
HALF = BOUND // 2


class Transport:
    """Keeps what is written until the test takes it; pauses and resumes as asyncio's do."""

    def __init__(self, *, takes_all: bool) -> None:
        self.takes_all = takes_all
        self.kept = b""
        self.protocol: Any = None
        self.high = 0
        self.paused = False
        self.closed = False

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def get_write_buffer_size(self) -> int:
        return len(self.kept)

    def write(self, data: bytes) -> None:
        if not self.takes_all:
            self.kept += data
        if len(self.kept) > self.high and not self.paused:
            self.paused = True
            self.protocol.pause_writing()

    def take(self) -> None:
        self.kept = b""
        if self.paused:
            self.paused = False
            self.protocol.resume_writing()

    def close(self) -> None:
        self.closed = True

    abort = close


class Stage:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def paused(self) -> None:
        self.told.append("paused")

    def resumed(self) -> None:
        self.told.append("resumed")

    def end(self) -> None:
        self.told.append("end")

    def label(self) -> str:
        return "alice"


class Bench:
    """A connection between the two."""

    def __init__(self, *, takes_all: bool = False) -> None:
        loop = asyncio.get_running_loop()
        limits = msgspec.structs.replace(Limits(), outgoing_bytes=BOUND)
        self.admission = admission = Admission(limits, lambda: 1.0)
        node: Any = SimpleNamespace(
            limits=limits, loop=loop, connections=set(), draining=False, outbox=Outbox(loop)
        )
        ticket = admission.admit("127.0.0.1", loop.time())
        visitor = Visitor("127.0.0.1", ticket, b"", loop.time())
        self.stage = Stage()
        self.connection = Connection(node, visitor, lambda _: self.stage)  # type: ignore[arg-type,return-value]
        self.transport = self.connection._transport = Transport(takes_all=takes_all)  # type: ignore[assignment]
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def send(self, *sizes: int) -> None:
        for size_bytes in sizes:
            self.connection.send(b"x" * size_bytes)

    def is_closing(self) -> bool:
        return self.connection.closing

    @property
    def waiting_bytes(self) -> int:
        return sum(map(len, self.connection._out)) + len(self.transport.kept)


async def turn() -> None:
    """Let the flush of this turn happen, and what it has put off to the next."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_can_wait_goes_with_the_next_frames_in_its_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "ALONG_S", 0.3)  # a busy machine stops for longer than 20 ms
    bench = Bench()
    bench.connection.send_along(b"a")
    bench.connection.send_along(b"b")
    await turn()
    assert bench.transport.kept == b""
    assert bench.waiting_bytes == 2, "it counts while it waits"
    bench.connection.send(b"c")
    await turn()
    assert bench.transport.kept == b"abc"
    bench.connection.send(b"d")
    bench.connection.send_along(b"e")
    await turn()
    assert bench.transport.kept == b"abcde"
    await asyncio.sleep(2 * outbox.ALONG_S)
    assert bench.transport.kept == b"abcde"


async def test_what_can_wait_does_not_wait_for_ever() -> None:
    bench = Bench()
    for expected in (b"a", b"aa"):
        bench.connection.send_along(b"a")
        async with asyncio.timeout(10):
            while bench.transport.kept != expected:
                await asyncio.sleep(0.001)


async def test_what_can_wait_comes_before_the_goodbye() -> None:
    bench = Bench()
    bench.connection.send_along(b"a\n")
    bench.connection.close(Shutdown())
    assert bench.transport.kept.startswith(b'a\n{"action":"goodbye"')


async def test_what_is_marked_in_a_block_is_sent_at_its_end() -> None:
    bench = Bench()
    outbox = bench.connection.node.outbox
    with outbox:
        bench.send(1)
        bench.send(1)
        assert bench.transport.kept == b""
    assert bench.transport.kept == b"xx"
    bench.send(1)
    with outbox:
        bench.send(1)
    assert bench.transport.kept == b"xxxx", "also what was marked before it"
    with contextlib.suppress(LookupError), outbox:
        bench.send(1)
        raise LookupError
    assert bench.transport.kept == b"xxxxx", "whatever happens in it"
    bench.send(1)
    await turn()
    assert bench.transport.kept == b"xxxxxx"


async def test_within_one_turn_pushes_stop_behind_the_one_that_passes_half() -> None:
    bench = Bench()
    bench.send(HALF)
    assert bench.stage.told == []
    bench.send(1)
    assert bench.stage.told == ["paused"]
    assert not bench.is_closing()


async def test_what_the_transport_takes_at_once_lets_pushes_go_on() -> None:
    bench = Bench(takes_all=True)
    for _ in range(3):
        bench.stage.told.clear()
        bench.send(HALF + 1)
        await turn()
        assert bench.stage.told == ["paused", "resumed"]
        assert bench.connection.paused_s is None


async def test_what_the_transport_keeps_stops_pushes_until_it_is_read() -> None:
    bench = Bench()
    bench.send(HALF + 1)
    await turn()
    assert bench.stage.told == ["paused"]
    waiting = asyncio.ensure_future(bench.connection.writable())
    await turn()
    assert not waiting.done()
    bench.transport.take()
    await waiting
    assert bench.stage.told == ["paused", "resumed"]


async def test_the_turn_and_the_transport_count_together() -> None:
    bench = Bench()
    bench.send(HALF - 100)
    await turn()
    bench.send(100)
    assert bench.stage.told == []
    bench.send(1)
    assert bench.stage.told == ["paused"]


async def test_what_has_left_meanwhile_does_not_count() -> None:
    bench = Bench()
    bench.send(HALF)
    await turn()
    bench.transport.take()
    bench.send(HALF)
    assert bench.stage.told == []


@pytest.mark.parametrize("turns", [True, False])
async def test_answers_never_pass_the_bound_and_end_the_session_there(turns: bool) -> None:
    bench = Bench()
    for _ in range(BOUND // 100):
        bench.send(100)
        if turns:
            await turn()
    assert bench.waiting_bytes == BOUND
    assert not bench.is_closing()
    bench.send(1, 1, 1)
    assert bench.waiting_bytes == BOUND
    assert not bench.is_closing(), "who sends may be busy with others: not in this turn"
    await turn()
    assert bench.is_closing()
    assert bench.stage.told == ["paused", "end"]
    assert b"slow_consumer" in bench.transport.kept


async def test_behind_an_answer_that_was_left_out_comes_none() -> None:
    bench = Bench(takes_all=True)
    bench.send(HALF + 1, HALF, 1)
    before = bench.waiting_bytes
    bench.connection.resume_writing()
    bench.send(1)
    assert bench.waiting_bytes == before
    await turn()
    assert bench.is_closing()


async def test_one_push_of_more_than_the_bound_reaches_who_reads() -> None:
    bench = Bench()
    bench.send(3 * BOUND)
    bench.send(HALF)
    await turn()
    assert not bench.is_closing()
    bench.transport.take()
    assert bench.stage.told == ["paused", "resumed"]
