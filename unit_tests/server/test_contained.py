"""Errors that nobody foresaw, of memory above all: one session ends, and nobody falls silent.

A session that goes on after it has missed something is worse than one that ends: its client, being
connected, has no reason to look into the store.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.errors import Replaced
from jim.protocol import messages as m
from jim.server.connection import Connection
from jim.server.door import Knock
from jim.server.outbox import Outbox
from unit_tests.server.test_outgoing import Bench, turn
from unit_tests.support.serving import LOOPS, QUICK, Serving, run_on, serving, until

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from jim.core.admission import Ticket


def connection_of(server: Serving, name: str) -> Connection:
    [found] = [c for c in server.service.node.connections if c.stage.label().startswith(name)]
    return found


class Once:
    """Replaces a method of a connection: fails the first time it is called, then works again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, method: str) -> None:
        self.failed = False
        original = getattr(owner, method)

        def failing(*args: Any, **options: Any) -> Any:
            if not self.failed:
                self.failed = True
                raise MemoryError
            return original(*args, **options)

        monkeypatch.setattr(owner, method, failing)


def fail_for(monkeypatch: pytest.MonkeyPatch, victim: Connection, method: str) -> None:
    """Make a method of this one connection fail, once."""
    original = getattr(Connection, method)
    left = [victim]

    def failing(self: Connection, *args: Any) -> Any:
        if self in left:
            left.remove(self)
            raise MemoryError
        return original(self, *args)

    monkeypatch.setattr(Connection, method, failing)


@pytest.mark.parametrize("loop", LOOPS)
def test_one_that_cannot_be_flushed_holds_up_nobody_and_comes_back_to_everything(
    loop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        async with serving(tmp_path) as server:
            alice, who = await server.join("alice")
            bob, _ = await server.join("bob")
            await bob.sync()
            # Her answer is queued before his message: what stops at her never gets to him.
            fail_for(monkeypatch, connection_of(server, "alice"), "flush")
            alice.post(1, "bob", "hello")
            assert (await bob.expect(m.Delivery)).message == "hello"
            assert (await alice.error()).code == "internal"
            assert await alice.ended() == []
            again = await server.back(who)
            assert (await again.say(1, "bob", "hello")).n == 1

    run_on(loop, go())


async def test_a_reading_of_the_mailbox_that_fails_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        alice, _ = await server.join("alice")
        bob, who = await server.join("bob")
        await alice.say(1, "bob", "waits")
        Once(monkeypatch, server.service.node.store, "load_after")
        await bob.sync()
        assert (await bob.error()).code == "internal"
        assert await bob.ended() == []
        again = await server.back(who)
        await again.sync()
        assert (await again.expect(m.Delivery)).message == "waits"


async def test_a_task_that_cannot_be_started_does_not_count_as_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        bob, _ = await server.join("bob")
        connection = connection_of(server, "bob")

        def no_memory(task: Coroutine[Any, Any, None]) -> None:
            task.close()
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(server.service.node, "spawn", no_memory)
            with pytest.raises(MemoryError):
                connection.stage.catch_up()
        await alice_reaches(server, bob)


async def alice_reaches(server: Serving, bob: Any) -> None:
    await bob.sync()
    alice, _ = await server.join("alice")
    await alice.say(1, "bob", "hello")
    assert (await bob.expect(m.Delivery)).message == "hello"


async def test_a_frame_that_cannot_be_queued_ends_that_session_and_not_the_senders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()

    def no_memory() -> None:
        raise MemoryError

    monkeypatch.setattr(Outbox, "mark", lambda *_: no_memory())
    bench.send(1)
    assert bench.is_closing()
    assert bench.stage.told == ["end"]
    assert bench.transport.closed


async def test_one_that_cannot_even_be_closed_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    cut: list[str] = []
    bench.transport.abort = lambda: cut.append("cut")  # type: ignore[method-assign]

    def no_memory(_: object) -> bytes:
        raise MemoryError

    def no_log(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("jim.server.connection.encode", no_memory)
    monkeypatch.setattr("jim.server.connection.log.exception", no_log)
    bench.connection.close(Replaced())
    assert bench.is_closing()
    assert bench.stage.told == ["end"]
    assert cut == ["cut"]


async def test_a_pause_that_fails_ends_the_session() -> None:
    bench = Bench()

    def no_memory() -> None:
        raise MemoryError

    bench.stage.paused = no_memory  # type: ignore[method-assign]
    bench.connection.pause_writing()
    await turn()
    assert bench.is_closing()


async def test_a_place_is_given_back_and_the_end_is_tried_again_when_ending_fails() -> None:
    bench = Bench()
    tries: list[str] = []

    def end() -> None:
        tries.append("end")
        if len(tries) == 1:
            raise MemoryError

    bench.stage.end = end  # type: ignore[method-assign]
    departed: list[Connection] = []
    node: Any = bench.connection.node
    node.departed = departed.append
    node.admission = bench.admission
    bench.connection.abort()
    assert tries == ["end"]
    bench.connection.connection_lost(None)
    assert tries == ["end", "end"]
    assert departed == [bench.connection]
    assert bench.connection.visitor.ticket.left


def watch_places(monkeypatch: pytest.MonkeyPatch, server: Serving) -> list[Ticket]:
    """Note whose place at the door is given back."""
    admission = server.service.node.admission
    leave = admission.leave
    left: list[Ticket] = []

    def noting(ticket: Ticket) -> None:
        left.append(ticket)
        leave(ticket)

    monkeypatch.setattr(admission, "leave", noting)
    return left


async def test_a_stranger_who_cannot_be_waited_for_leaves_no_place_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        left = watch_places(monkeypatch, server)
        Once(monkeypatch, Knock, "__init__")
        reader, writer = await server.raw()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        assert len(left) == 1
        await server.join("alice")


async def test_a_handshake_that_cannot_be_started_leaves_no_place_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        left = watch_places(monkeypatch, server)

        def no_memory(task: Coroutine[Any, Any, None]) -> None:
            task.close()
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(server.service.node, "spawn", no_memory)
            with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
                await server.wire()
        assert len(left) == 1
        await server.join("alice")


async def refused(server: Serving) -> None:
    """Be somebody for whom there is no place, and wait until that is over."""
    reader, writer = await server.raw()
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.read()
    writer.close()
    await until(lambda: (server.service.door._refusals, server.service.door.parting) == (0, 0))


ONE_EACH = msgspec.structs.replace(QUICK, connections_per_address=1, exempt_networks=())


async def test_a_refusal_that_fails_at_the_first_byte_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, ONE_EACH) as server:
        await server.join("alice")
        Once(monkeypatch, Knock, "__init__")
        await refused(server)


async def test_a_refusal_that_fails_while_it_is_told_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, ONE_EACH) as server:
        await server.join("alice")
        fail_in_farewell(monkeypatch, server.service.node.loop)
        await refused(server)


def fail_in_farewell(monkeypatch: pytest.MonkeyPatch, loop: Any) -> None:
    """Make the loop refuse to watch a socket that is told why it is not served."""
    original = loop.add_reader

    def failing(descriptor: int, callback: Any, *args: Any) -> None:
        if getattr(callback, "__name__", "") == "_drain":
            raise MemoryError
        original(descriptor, callback, *args)

    monkeypatch.setattr(loop, "add_reader", failing)


async def test_a_handshake_without_memory_leaves_no_place_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        left = watch_places(monkeypatch, server)
        Once(monkeypatch, server.service.node.loop, "connect_accepted_socket")
        with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
            await server.wire()
        await until(lambda: len(left) == 1)
        monkeypatch.undo()
        await server.join("alice")
