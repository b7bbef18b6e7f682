"""Readers that do not read: bounded memory, others unharmed, and made whole when they come back."""

from __future__ import annotations

import asyncio
import itertools
import socket
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.protocol import messages as m
from jim.server.connection import Connection
from unit_tests.server.test_active import Faulty
from unit_tests.support.serving import LOOPS, QUICK, Serving, run_on, serving, until
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.limits import Limits

SMALL_BUFFER = 4_096
TEXT = "x" * 8_000


def limits(**changes: Any) -> Limits:
    small = {"outgoing_bytes": 128 * 1024, "page_bytes": 16 * 1024}
    return msgspec.structs.replace(QUICK, **{**small, **changes})


class Sleeper:
    """A client whose socket has small buffers and that does not read until it is told to."""

    def __init__(self, server: Serving, wire: Wire, connection: Connection) -> None:
        self.server = server
        self.wire = wire
        self.connection = connection

    @classmethod
    async def asleep(cls, server: Serving, name: str, *, server_buffer: bool = True) -> Sleeper:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
        wire = await server.wire(sock=sock, limit=SMALL_BUFFER)
        await wire.register(Person(name))
        await wire.sync()
        connection = next(
            c for c in server.service.node.connections if c.stage.label().startswith(name)
        )
        raw = connection._transport.get_extra_info("socket")
        if server_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
        wire.fall_asleep()
        return cls(server, wire, connection)


async def flood(alice: Wire, to: str, first: int, last: int) -> None:
    for n in range(first, last + 1):
        await alice.say(n, to, f"{n} {TEXT}")


async def collected(wire: Wire, count: int) -> list[int]:
    return [int(str((await wire.expect(m.Delivery)).message).split()[0]) for _ in range(count)]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_slow_reader_gets_no_pushes_and_is_made_whole_when_it_reads(
    loop: str, tmp_path: Path
) -> None:
    async def go() -> None:
        async with serving(tmp_path, limits()) as server:
            bob = await Sleeper.asleep(server, "bob")
            alice, _ = await server.join("alice")
            await flood(alice, "bob", 1, 120)
            assert bob.connection.paused_s is not None
            stage: Any = bob.connection.stage
            link = stage.link
            assert link.sent < 60
            assert not link.live
            assert not bob.connection.closing
            bob.wire.wake_up()
            assert await collected(bob.wire, 120) == list(range(1, 121))
            await until(lambda: bool(link.live))
            await flood(alice, "bob", 121, 122)
            assert await collected(bob.wire, 2) == [121, 122]

    run_on(loop, go())


@pytest.mark.parametrize("loop", LOOPS)
def test_limit_outgoing_bytes_cuts_who_asks_and_does_not_read(loop: str, tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(tmp_path, limits()) as server:
            bob = await Sleeper.asleep(server, "bob")
            alice, _ = await server.join("alice")
            await flood(alice, "bob", 1, 120)
            assert bob.connection.paused_s is not None
            for n in range(10_000):
                bob.wire.send(m.Probe(id=f"{n:064}"))
                if n % 100 == 0:
                    await bob.wire.writer.drain()
                if bob.connection.closing:
                    break
            await until(lambda: bob.connection.closing)
            await until(lambda: bob.connection not in server.service.node.connections)
            assert (await alice.say(121, "bob", "you will find this")).n == 121

    run_on(loop, go())


async def test_who_was_cut_finds_everything_on_return(tmp_path: Path) -> None:
    async with serving(tmp_path, limits()) as server:
        bob, person = await server.join("bob")
        await bob.sync()
        alice, _ = await server.join("alice")
        await flood(alice, "bob", 1, 3)
        assert await collected(bob, 3) == [1, 2, 3]
        bob.ack(2)
        await alice.expect(m.Delivered)
        bob.writer.transport.abort()
        await flood(alice, "bob", 4, 40)
        bob = await server.back(person)
        await bob.sync(after=2)
        assert await collected(bob, 38) == list(range(3, 41))
        await flood(alice, "bob", 41, 41)
        assert await collected(bob, 1) == [41]


async def test_live_messages_during_the_catching_up_leave_no_gap_and_no_double(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, limits(page_bytes=1)) as server:
        bob, person = await server.join("bob")
        bob.writer.transport.abort()
        alice, _ = await server.join("alice")
        await flood(alice, "bob", 1, 50)
        bob = await server.back(person)
        sending = asyncio.ensure_future(flood(alice, "bob", 51, 120))
        await bob.sync()
        assert await collected(bob, 120) == list(range(1, 121))
        await sending
        positions = [item.position for item in bob.seen if isinstance(item, m.Delivery)]
        assert positions == list(range(1, 121))


async def test_sync_again_while_catching_up_starts_again_without_a_gap(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(page_bytes=1)) as server:
        bob, person = await server.join("bob")
        bob.writer.transport.abort()
        alice, _ = await server.join("alice")
        await flood(alice, "bob", 1, 30)
        bob = await server.back(person)
        bob.send(*(m.Sync(id=n, after=0) for n in range(1, 6)))
        seen: list[int] = []
        while not seen or seen[-1] != 30:
            seen.append((await bob.expect(m.Delivery)).position)
        assert all(after in {before + 1, 1} for before, after in itertools.pairwise(seen))
        assert seen[-30:] == list(range(1, 31))


async def test_a_segment_larger_than_the_bound_reaches_a_reader_that_reads(tmp_path: Path) -> None:
    tight = limits(outgoing_bytes=16 * 1024, page_bytes=1_024)
    async with serving(tmp_path, tight) as server:
        bob, person = await server.join("bob")
        await bob.sync()
        alice, _ = await server.join("alice")
        for start in (1, 65):
            batch = (
                m.Msg(id=n, n=n, to="bob", message=f"{n} {TEXT}") for n in range(start, start + 64)
            )
            alice.send(*batch)
            for _ in range(64):
                await alice.expect(m.Stored)
        assert await collected(bob, 128) == list(range(1, 129))
        bob.writer.transport.abort()
        bob = await server.back(person)
        await bob.sync()
        assert await collected(bob, 128) == list(range(1, 129))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("asleep", [True, False])
def test_one_commit_of_many_senders_keeps_to_the_bound(
    loop: str, asleep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is queued in one turn of the loop counts too, however much one commit brings."""
    senders, each = 6, 20
    most = {"bytes": 0}
    flush = Connection.flush

    def watched(connection: Connection) -> None:
        queued_bytes = sum(map(len, connection._out))
        if connection.stage.label().startswith("bob"):
            most["bytes"] = max(most["bytes"], queued_bytes)
        flush(connection)

    async def go() -> None:
        async with serving(tmp_path, limits(), wrap=Faulty) as server:
            bob = await Sleeper.asleep(server, "bob")
            wires = [(await server.join(f"user{place}"))[0] for place in range(senders)]
            store: Any = server.store
            store.commit_gate.clear()
            for wire in wires:
                wire.send(
                    *(m.Msg(id=n, n=n, to="bob", message="y" * 16_000) for n in range(1, each + 1))
                )
            hub = server.service.hub
            await until(
                lambda: (
                    sum(map(len, (*hub._waiting.values(), *hub._committing.values())))
                    == senders * each
                )
            )
            monkeypatch.setattr(Connection, "flush", watched)
            if not asleep:
                bob.wire.wake_up()
            store.commit_gate.set()
            for wire in wires:
                for _ in range(each):
                    await wire.expect(m.Stored)
            assert not bob.connection.closing
            bob.wire.wake_up()
            got = [(await bob.wire.expect(m.Delivery)).position for _ in range(senders * each)]
            assert got == list(range(1, senders * each + 1))

    run_on(loop, go())
    segment_bytes = limits().page_bytes + 16_000 + 200
    assert 0 < most["bytes"] <= limits().outgoing_bytes // 2 + segment_bytes


async def test_one_slow_peer_holds_nobody_else_up(tmp_path: Path) -> None:
    async with serving(tmp_path, limits()) as server:
        bob = await Sleeper.asleep(server, "bob")
        carol, _ = await server.join("carol")
        await carol.sync()
        alice, _ = await server.join("alice")
        await flood(alice, "bob", 1, 100)
        await flood(alice, "carol", 101, 110)
        assert await collected(carol, 10) == list(range(101, 111))
        assert bob.connection.paused_s is not None


async def test_who_never_reads_is_ended_in_the_end_even_if_they_talk(tmp_path: Path) -> None:
    async with serving(tmp_path, limits()) as server:
        bob = await Sleeper.asleep(server, "bob")
        alice, _ = await server.join("alice")
        await flood(alice, "bob", 1, 100)
        liveness: Any = server.service._liveness
        paused_s: Any = bob.connection.paused_s
        idle_s = server.service.settings.limits.idle_s
        liveness.sweep(paused_s + idle_s - 1)
        assert not bob.connection.closing
        bob.connection.heard_s = paused_s + idle_s
        liveness.sweep(paused_s + idle_s + 1)
        await until(lambda: bob.connection.closing)
        await until(lambda: bob.connection not in server.service.node.connections)


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="a matter of the kernel")
@pytest.mark.parametrize("loop", LOOPS)
def test_the_kernel_does_not_take_megabytes_for_who_stops_reading(
    loop: str, tmp_path: Path
) -> None:
    """Left alone it took 3.2 MB here, beyond `outgoing_bytes` and unseen by it."""

    async def go() -> None:
        async with serving(tmp_path, limits()) as server:
            bob = await Sleeper.asleep(server, "bob", server_buffer=False)
            alice, _ = await server.join("alice")
            stage: Any = bob.connection.stage
            n = 0
            while bob.connection.paused_s is None and n < 1_000:
                n += 1
                await flood(alice, "bob", n, n)
            assert bob.connection.paused_s is not None
            assert stage.link.sent * len(TEXT) < 1024 * 1024
            bob.wire.wake_up()
            assert await collected(bob.wire, n) == list(range(1, n + 1))

    run_on(loop, go())
