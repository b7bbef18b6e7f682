"""A session that is logged in: its limits, its faults, its silence."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.errors import StoreFull
from jim.protocol import messages as m
from jim.server import active
from jim.server.stage import Hold
from unit_tests.support.serving import QUICK, Serving, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.limits import Limits
    from jim.core.model import Batch, Committed
    from jim.core.ports import Store
    from jim.server.connection import Connection
    from unit_tests.support.wire import Wire


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(QUICK, **changes)


def only(server: Serving) -> Connection:
    (connection,) = server.service.node.connections
    return connection


async def goodbye(wire: Wire) -> m.Goodbye:
    ending = (await wire.ended())[-1]
    assert isinstance(ending, m.Goodbye), ending
    return ending


# --- frames and texts ---------------------------------------------------------------------------


async def test_limit_frame_bytes(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(frame_bytes=10_000, text_bytes=9_000)) as server:
        wire, _ = await server.join("alice")
        wire.send_raw(b'{"action":"probe","id":"' + b"x" * 20_000)
        error = await wire.error()
        assert (error.code, error.limit_bytes, error.fatal) == ("frame_too_long", 10_000, True)
        assert await wire.ended() == []


async def test_limit_text_bytes_counts_utf8(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(text_bytes=10)) as server:
        await server.join("bob")
        wire, _ = await server.join("alice")
        await wire.say(1, "bob", "я" * 5)
        wire.post(2, "bob", "я" * 5 + "!")
        error = await wire.error()
        assert (error.code, error.n, error.size_bytes, error.limit_bytes) == (
            "text_too_long",
            2,
            11,
            10,
        )
        assert (await wire.say(2, "bob", "short")).n == 2


@pytest.mark.parametrize(
    ("frame", "code", "request_id"),
    [
        (b"nonsense", "malformed", None),
        (b'"text"', "malformed", None),
        (b'{"action":"msg","id":', "malformed", None),
        (b"\xff\xfe", "malformed", None),
        (b'{"x":' + b"[" * 99 + b"]" * 99 + b"}", "malformed", None),
        (b'{"action":"fly","id":"a"}', "unknown_action", "a"),
        (b'{"action":"probe"}', "bad_request", None),
        (b'{"action":"probe","id":-1}', "bad_request", None),
        (b'{"action":"msg","id":7,"n":0,"to":"bob","message":""}', "bad_request", 7),
        (b'{"action":"sync","id":7,"after":12}', "bad_request", 7),
        (b'{"action":"ack","position":12}', "bad_request", None),
        (b'{"action":"hello","id":8,"v":1,"cnonce":"' + b"A" * 43 + b'="}', "unexpected", 8),
    ],
)
async def test_a_useless_frame_is_answered_and_the_session_goes_on(
    frame: bytes, code: str, request_id: Any, tmp_path: Path
) -> None:
    async with serving(tmp_path) as server:
        wire, _ = await server.join("alice")
        wire.send_raw(frame + b"\n")
        error = await wire.error()
        assert (error.code, error.response, error.fatal) == (code, 400, False)
        assert error.id == (msgspec.UNSET if request_id is None else request_id)
        wire.send(m.Probe(id=99))
        assert (await wire.expect(m.Pong)).id == 99


async def test_limit_malformed_frames(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(malformed_frames=3)) as server:
        wire, _ = await server.join("alice")
        wire.send_raw(b"nonsense\n" * 5)
        rest = await wire.ended()
        assert [type(item) for item in rest] == [m.ErrorReply] * 3 + [m.Goodbye]
        assert rest[-1].code == "malformed"


# --- how much at once -----------------------------------------------------------------------------


async def test_limit_window(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(window=4)) as server:
        await server.join("bob")
        wire, _ = await server.join("alice")
        wire.send(*(m.Msg(id=n, n=n, to="bob", message="x") for n in range(1, 7)))
        answers = [await wire.receive() for _ in range(6)]
        refused = [a for a in answers if isinstance(a, m.ErrorReply)]
        assert [(r.code, r.n, r.limit) for r in refused] == [
            ("window_exceeded", 5, 4),
            ("window_exceeded", 6, 4),
        ]
        assert (await wire.say(5, "bob", "x")).n == 5


async def test_limit_waiting_messages(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(waiting_messages=3)) as server:
        bob, person = await server.join("bob")
        bob.close()
        alice, _ = await server.join("alice")
        for n in range(1, 4):
            await alice.say(n, "bob", str(n))
        alice.post(4, "bob", "too many")
        error = await alice.error()
        assert (error.code, error.response) == ("mailbox_full", 410)
        bob = await server.back(person)
        await bob.sync()
        texts = [(await bob.expect(m.Delivery)).message for _ in range(3)]
        assert texts == ["1", "2", "3"]
        notice = await bob.expect(m.Notice)
        assert (notice.position, notice.code) == (4, "mailbox_full")
        bob.ack(4)
        await alice.expect(m.Delivered)
        assert (await alice.say(4, "bob", "again")).n == 4


# --- silence --------------------------------------------------------------------------------------


async def test_limit_ping_s_probes_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire, _ = await server.join("alice")
        connection, liveness = only(server), server.service._liveness
        assert liveness is not None
        ping_s = server.service.settings.limits.ping_s
        liveness.sweep(connection.heard_s + ping_s - 1)
        liveness.sweep(connection.heard_s + ping_s)
        liveness.sweep(connection.heard_s + ping_s + 1)
        probe = await wire.expect(m.Probe)
        wire.send(m.Probe(id="and now?"), m.Pong(id=probe.id))
        assert isinstance(await wire.receive(), m.Pong), "one probe for one silence"
        await until(lambda: not connection.probed)
        liveness.sweep(connection.heard_s + ping_s + 1)
        assert (await wire.expect(m.Probe)).id == int(probe.id) + 1


async def test_limit_idle_s(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire, _ = await server.join("alice")
        connection, liveness = only(server), server.service._liveness
        assert liveness is not None
        liveness.sweep(connection.heard_s + server.service.settings.limits.idle_s + 1)
        ending = await goodbye(wire)
        assert (ending.code, ending.response) == ("idle", 410)
        await until(lambda: not server.service.hub.is_online(1))


async def test_whom_we_do_not_read_from_is_not_called_silent(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("alice")
        connection, liveness = only(server), server.service._liveness
        assert liveness is not None
        connection.hold(Hold.PACE)
        liveness.sweep(connection.heard_s + 1_000)
        assert not connection.closing
        connection.release(Hold.PACE)
        liveness.sweep(connection.heard_s + 1)
        assert not connection.probed


async def test_the_sweep_runs_by_itself(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire, _ = await server.join("alice")
        service, liveness = server.service, server.service._liveness
        assert liveness is not None

        def tighten(**changes: float) -> None:
            settings = msgspec.structs.replace(service.settings, limits=limits(**changes))
            service.apply(settings, service.door.tls)

        tighten(ping_s=0.05)
        liveness.stop()
        liveness._wait()  # from here on at the new pace, nobody else calls it
        await wire.expect(m.Probe)
        tighten(ping_s=0.05, idle_s=0.1)
        assert (await goodbye(wire)).code == "idle"


@pytest.mark.parametrize("stood_still", [True, False])
async def test_a_server_that_stood_still_calls_nobody_silent(
    tmp_path: Path, *, stood_still: bool
) -> None:
    async with serving(tmp_path) as server:
        await server.join("alice")
        connection, liveness = only(server), server.service._liveness
        assert liveness is not None
        idle_s = server.service.settings.limits.idle_s
        connection.heard_s -= idle_s
        liveness._due_s -= idle_s if stood_still else 1
        liveness.stop()
        liveness._tick()
        assert connection.closing is not stood_still
        assert not connection.probed


# --- faults ---------------------------------------------------------------------------------------


class Faulty:
    """A store whose calls can be held up or made to fail."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = 0
        self.commit_gate = asyncio.Event()
        self.commit_gate.set()
        self.commit_error: Exception | None = None
        self.read_error: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch, now_ms: int) -> Committed:
        await self.commit_gate.wait()
        if self.commit_error is not None:
            raise self.commit_error
        return await self._store.commit(batch, now_ms)

    async def visible(self, account_id: int) -> Any:
        self.entered += 1
        await self.gate.wait()
        if self.read_error is not None:
            raise self.read_error
        return await self._store.visible(account_id)


async def test_an_unforeseen_error_is_internal_with_an_incident_and_no_detail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        wire, _ = await server.join("alice")
        bob, _ = await server.join("bob")
        store.read_error = ZeroDivisionError("secret detail")
        wire.send(m.Presence(id=4))
        error = await wire.error()
        assert (error.code, error.response, error.fatal, error.id) == ("internal", 500, True, 4)
        assert "secret" not in error.error
        assert isinstance(error.incident, str)
        assert await wire.ended() == []
        (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert error.incident in record.getMessage()
        assert record.exc_info is not None
        bob.send(m.Probe(id=1))
        await bob.expect(m.Pong)


async def test_an_unforeseen_error_in_the_hub_ends_one_session_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        wire, _ = await server.join("alice")
        bob, _ = await server.join("bob")

        def broken(*_: Any) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(server.service.hub, "submit", broken)
        wire.post(1, "bob", "boom")
        assert (await wire.error()).code == "internal"
        monkeypatch.undo()
        assert (await bob.say(1, "alice", "still here")).n == 1


async def test_a_failed_commit_tells_nobody_anything_and_stops_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        await server.join("bob")
        wire, _ = await server.join("alice")
        store.commit_error = StoreFull("the disk is full; make room and start again")
        wire.post(1, "bob", "lost?")
        assert await wire.ended() == []
        await asyncio.wait_for(server.service.ended.wait(), 10)
        assert isinstance(server.service.failure, StoreFull)


async def test_any_other_error_of_a_commit_counts_as_a_failed_store(tmp_path: Path) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        await server.join("bob")
        wire, _ = await server.join("alice")
        store.commit_error = KeyError("what?")
        wire.post(1, "bob", "lost?")
        assert await wire.ended() == []
        await asyncio.wait_for(server.service.ended.wait(), 10)


async def test_requests_that_wait_for_the_store_are_bounded_and_then_answered(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        wire, _ = await server.join("alice")
        connection = only(server)
        store.gate.clear()
        wire.send(*(m.Presence(id=n) for n in range(1, 31)))
        await until(lambda: store.entered == active.MAX_TASKS)
        assert connection.held
        wire.send(m.Probe(id="behind"))
        store.gate.set()
        answers = [await wire.receive() for _ in range(31)]
        assert {a.id for a in answers} == {*range(1, 31), "behind"}
        assert not connection.held


async def test_what_the_transport_still_delivers_while_held_keeps_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        wire, _ = await server.join("alice")
        connection = only(server)
        store.gate.clear()
        wire.send(*(m.Presence(id=n) for n in range(active.MAX_TASKS + 1)))
        await until(lambda: connection.held)
        connection.data_received(b'{"action":"probe","id":"late"}\n')
        await until(lambda: store.entered == active.MAX_TASKS)
        connection.node.outbox.flush()
        assert not connection._out
        stage: Any = connection.stage
        assert [item.id for item in stage._backlog] == [active.MAX_TASKS, "late"]
        store.gate.set()
        answers = [await wire.receive() for _ in range(active.MAX_TASKS + 2)]
        assert {a.id for a in answers} == {*range(active.MAX_TASKS + 1), "late"}


async def test_a_client_that_leaves_while_the_store_works_does_no_harm(tmp_path: Path) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        wire, _ = await server.join("alice")
        bob, _ = await server.join("bob")
        store.gate.clear()
        wire.send(*(m.Presence(id=n) for n in range(20)))
        await until(lambda: store.entered == active.MAX_TASKS)
        wire.writer.transport.abort()
        # Whom we do not read from cannot be seen to leave: that comes with the answers.
        store.gate.set()
        await until(lambda: len(server.service.node.connections) == 1)
        await until(lambda: not server.service.node._tasks)
        bob.send(m.Probe(id=1))
        await bob.expect(m.Pong)


async def test_a_fault_behind_requests_that_waited_ends_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        wire, _ = await server.join("alice")
        store.gate.clear()

        def broken(*_: Any) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(server.service.hub, "submit", broken)
        wire.send(*(m.Presence(id=n) for n in range(active.MAX_TASKS)))
        wire.post(1, "bob", "boom")
        await until(lambda: store.entered == active.MAX_TASKS and only(server).held)
        store.gate.set()
        error = await wire.error()
        assert (error.code, error.fatal) == ("internal", True)
        await wire.ended()
        await until(lambda: not server.service.node.connections)
        assert not server.service.hub.is_online(1)
