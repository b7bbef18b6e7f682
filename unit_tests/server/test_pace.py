"""The pace of a device: it is slowed down by not being read from, and coming back helps nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.protocol import messages as m
from jim.server.connection import Connection
from jim.server.stage import Hold
from unit_tests.support.serving import QUICK, Serving, serving, until

if TYPE_CHECKING:
    from pathlib import Path

SLOW = msgspec.structs.replace(
    QUICK, message_burst=1, messages_per_s=1.0, byte_burst=1_000_000, bytes_per_s=1_000_000
)


def of(server: Serving, name: str) -> Connection:
    return next(c for c in server.service.node.connections if name in c.stage.label())


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> list[Hold]:
    """Every reason for which a connection was not read from, also those that are over by now."""
    noted: list[Hold] = []
    hold = Connection.hold

    def note(connection: Connection, reason: Hold) -> None:
        noted.append(reason)
        hold(connection, reason)

    monkeypatch.setattr(Connection, "hold", note)
    return noted


def probes(count: int) -> bytes:
    return b"".join(b'{"action":"probe","id":%d}\n' % n for n in range(count))


async def test_a_new_connection_is_no_new_allowance(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as server:
        wire, person = await server.join("alice")
        other, _ = await server.join("bob")
        wire.send_raw(probes(30))
        await until(lambda: bool(of(server, "alice")._holds & Hold.PACE))
        wire.writer.transport.abort()
        wire = await server.back(person)
        wire.send(m.Probe(id="back"))
        await wire.expect(m.Pong)
        await until(lambda: bool(of(server, "alice")._holds & Hold.PACE))
        other.send(m.Probe(id="mine"))
        await other.expect(m.Pong)
        assert not of(server, "bob").held


async def test_who_has_paid_is_forgotten(tmp_path: Path) -> None:
    async with serving(tmp_path, SLOW) as server:
        wire, _ = await server.join("alice")
        wire.send_raw(probes(30))
        await until(lambda: of(server, "alice").held)
        server.service.hub.evict(1, of(server, "alice").stage.link.identity.device_id)  # type: ignore[attr-defined]
        paces = server.service.node.paces
        assert len(paces) == 1
        paces.sweep(server.service.node.loop.time() + 60)
        assert len(paces) == 0


async def test_a_second_hold_is_not_released_by_the_timer_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, SLOW) as server:
        await server.join("alice")
        connection, loop = of(server, "alice"), server.service.node.loop
        timers: list[Any] = []

        def call_later(delay_s: float, callback: Any, *arguments: Any) -> Any:
            timer = called(delay_s, callback, *arguments)
            if arguments == (Hold.PACE,):
                timers.append((delay_s, timer))
            return timer

        called = loop.call_later
        monkeypatch.setattr(loop, "call_later", call_later)
        connection.data_received(probes(10))
        connection.data_received(probes(10))  # the transport had it already
        (first_s, first), (second_s, second) = timers
        assert first_s < second_s
        assert first.cancelled()
        assert not second.cancelled()
        stage: Any = connection.stage
        connection.abort()
        assert second.cancelled(), "a timer would keep what has ended"
        assert stage._pace_timer is None


async def test_limit_message_rate_is_kept_by_not_reading(tmp_path: Path, holds: list[Hold]) -> None:
    slow = msgspec.structs.replace(QUICK, message_burst=3, messages_per_s=20.0)
    async with serving(tmp_path, slow) as server:
        await server.join("bob")
        wire, _ = await server.join("alice")
        connection = of(server, "alice")
        wire.send(*(m.Msg(id=n, n=n, to="bob", message="x") for n in range(1, 9)))
        for _ in range(8):
            await wire.expect(m.Stored)
        assert Hold.PACE in holds
        wire.send(m.Probe(id="later"))
        assert (await wire.expect(m.Pong)).id == "later"
        assert not connection._holds & Hold.TASKS


async def test_limit_byte_rate_is_kept_by_not_reading(tmp_path: Path, holds: list[Hold]) -> None:
    slow = msgspec.structs.replace(QUICK, byte_burst=1_000, bytes_per_s=20_000)
    async with serving(tmp_path, slow) as server:
        wire, _ = await server.join("alice")
        wire.send(m.Presence(id="x" * 60), *(m.Ack(position=0) for _ in range(200)))
        await wire.expect(m.Contacts)
        await until(lambda: Hold.PACE in holds)
        wire.send(m.Probe(id="later"))
        await wire.expect(m.Pong)


async def test_confirmations_do_not_count_as_messages(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(QUICK, message_burst=1, messages_per_s=0.001, rate_debt_s=0.5)
    async with serving(tmp_path, slow) as server:
        wire, _ = await server.join("alice")
        wire.send(*(m.Ack(position=0) for _ in range(50)), *(m.Pong(id=1) for _ in range(50)))
        wire.send(m.Probe(id=1))
        await wire.expect(m.Pong)


async def test_limit_rate_debt_s(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(QUICK, message_burst=1, messages_per_s=0.1, rate_debt_s=20.0)
    async with serving(tmp_path, slow) as server:
        wire, _ = await server.join("alice")
        wire.send(*(m.Probe(id=n) for n in range(8)))
        ending = (await wire.ended())[-1]
        assert ending.code == "rate_limited"
        assert isinstance(ending.retry_after_ms, int)
        assert ending.retry_after_ms > 20_000
