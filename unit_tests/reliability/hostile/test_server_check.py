"""What the attackers of a live server would notice, each seen to be noticed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jim.launch.ports import free_port
from jim.protocol import messages as m
from jim.server.connection import Connection
from jim.server.login import Login
from reliability.hostile import honest, server_check, wire
from reliability.hostile import server as server_module
from reliability.hostile.report import Report, Section
from reliability.hostile.server import AttackedServer
from reliability.hostile.server_check import Attack, check_health, judge
from reliability.injectors.signals import freeze
from reliability.rig.programs import Ended, Launch
from reliability.rig.server import LIFTED
from unit_tests.support.serving import QUICK, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class Over:
    """A wire whose server has closed."""

    is_over = True


class Open:
    """A wire that goes on."""

    is_over = False


def judged(answers: list[Any], on: Any) -> list[str]:
    section = Section("test")
    judge(answers, on, "case", section)
    return section.violations


def error(code: str, *, fatal: bool = False) -> m.ErrorReply:
    return m.ErrorReply(response=400, code=code, error="", time=1, fatal=fatal)


def test_answers_that_the_protocol_defines_are_fine() -> None:
    assert not judged([error("malformed"), m.Pong(id="after")], Open)
    assert not judged([error("frame_too_long", fatal=True)], Over)
    assert not judged([m.Goodbye(code="quit", time=1)], Over)


@pytest.mark.parametrize(
    ("answers", "on"),
    [
        ([error("internal", fatal=True)], Over),
        ([error("oops")], Open),
        ([m.Goodbye(code="internal", time=1)], Over),
        ([], Over),
        ([error("malformed")], Over),
    ],
)
def test_everything_else_is_a_violation(answers: list[Any], on: Any) -> None:
    assert judged(answers, on)


@pytest.mark.parametrize(
    ("read", "told"),
    [
        (["one", "two", "two", "three"], "message 3"),
        (["one", "three"], "message 2"),
        (["one", "two"], "message 3 is None"),
        (["one", "tw\ufffd", "three"], "message 2"),
        (["two", "one", "three"], "message 1"),
    ],
)
def test_honest_messages_doubled_lost_altered_or_reordered_are_told(
    read: list[str], told: str
) -> None:
    section = Section("test")
    honest.compare(["one", "two", "three"], read, "alice to bob", section)
    assert told in section.violations[0]


def test_a_report_counts_and_says_what_was_violated() -> None:
    bad = Section("part", cases=3)
    bad.violate("something")
    bad.count("malformed")
    report = Report(1.5, [Section("other", cases=4), bad])
    assert (report.cases, report.violations) == (7, 1)
    assert "part: 3 cases, 1 VIOLATIONS" in report.text()
    assert "! something" in report.text()


# --- a server with a planted bug ------------------------------------------------------------------


async def attacked(
    directory: Path, act: Callable[[Attack], Awaitable[Section]], every: int = 40
) -> Section:
    async with serving(directory, QUICK) as server:
        return await act(Attack(server.port, every))


async def test_a_healthy_server_passes(tmp_path: Path) -> None:
    for act in (Attack.before_login, Attack.after_login, Attack.front_door, Attack.streams):
        section = await attacked(tmp_path / act.__name__, act)
        assert not section.violations, section.violations[:3]
        assert section.cases > 5


async def test_an_unforeseen_error_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trip(self: Login, items: object, size_bytes: int, now_s: float) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(Login, "receive", trip)
    section = await attacked(tmp_path, Attack.before_login, 200)
    assert any("internal" in text for text in section.violations)


async def test_a_server_that_hangs_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "PATIENCE_S", 0.3)
    monkeypatch.setattr(Connection, "data_received", lambda _self, _data: None)
    section = await attacked(tmp_path, Attack.before_login, 1_000)
    assert any("no answer" in text for text in section.violations)


async def test_a_server_that_closes_without_a_word_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "data_received", lambda self, _data: self.abort())
    section = await attacked(tmp_path, Attack.before_login, 1_000)
    assert any("without a word" in text for text in section.violations)


async def test_a_server_that_babbles_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Connection, "data_received", lambda self, _data: self._transport.write(b"oops\n")
    )
    section = await attacked(tmp_path, Attack.before_login, 1_000)
    assert any("no message" in text for text in section.violations)


# --- what the front door and the streams have to show --------------------------------------------


async def front_door_of(
    answer: bytes, *, closes: bool, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Knock at a port where somebody says something, and hangs up or does not."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(answer)
        if closes:
            writer.close()

    monkeypatch.setattr(server_check, "DOOR_S", 0.2)
    monkeypatch.setattr(wire, "PATIENCE_S", 0.2)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        section = await Attack(server.sockets[0].getsockname()[1]).front_door()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
    assert section.cases == 10
    return section.violations


@pytest.mark.parametrize("answer", [b"", b"not here"])
async def test_a_port_that_does_not_hang_up_is_noticed(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    violations = await front_door_of(answer, closes=False, monkeypatch=monkeypatch)
    assert sum("TimeoutError" in text for text in violations) >= 10


async def test_a_port_that_turns_everybody_away_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    violations = await front_door_of(b"", closes=True, monkeypatch=monkeypatch)
    assert len(violations) == 1
    assert violations[0].startswith("afterwards: ")


async def test_a_server_that_takes_all_of_an_endless_frame_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that the frame is too long, and has read all that it was sent."""
    monkeypatch.setattr(server_check, "ENDLESS_BYTES", QUICK.frame_bytes // 2)
    monkeypatch.setattr(wire.Wire, "until", told_too_long)
    async with serving(tmp_path, QUICK) as server:
        section = Section("test")
        await Attack(server.port)._endless_inside(section)
    assert any("has taken" in text for text in section.violations)


async def told_too_long(self: wire.Wire, _is_last: object) -> list[m.ServerMessage]:
    self.is_over = True
    return [error("frame_too_long", fatal=True)]


STREAMS = (
    *("_bytewise", "_many", "_unfinished", "_endless", "_endless_inside", "_useless", "_hangs_up"),
)


async def test_a_server_that_lets_nobody_in_after_a_stream_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the stream itself has seen: here nothing."""

    async def see_nothing(_attack: Attack, _section: Section) -> None:
        pass

    for name in STREAMS:
        monkeypatch.setattr(Attack, name, see_nothing)
    section = await Attack(free_port()).streams()
    assert section.cases == len(STREAMS) == len(section.violations)


# --- the process ----------------------------------------------------------------------------------

FRAGILE = """
from jim.server import connection
received = connection.Connection.data_received
def fall(self, data):
    if b"KILL" in data:
        import os; os._exit(3)
    if b"TRIP" in data:
        raise KeyError("planted")
    received(self, data)
connection.Connection.data_received = fall
"""
"""Put in before a server starts: it dies of one word and leaves a traceback for another."""


@pytest.mark.e2e
@pytest.mark.parametrize("word", [b"KILL", b"TRIP"])
async def test_a_server_that_dies_or_trips_over_one_frame_is_noticed(
    tmp_path: Path, word: bytes
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FRAGILE, encoding="utf-8")
    launch = Launch(env={"PYTHONPATH": str(tmp_path)})
    async with AttackedServer(tmp_path / "server", launch=launch) as server:
        visitor = await wire.Wire.connect(server.port)
        visitor.send_raw(word + b"\n")
        await visitor.drain()
        async with asyncio.timeout(20):
            while server.is_up and not server.suspicious_lines():
                await asyncio.sleep(0.01)
        visitor.close()
        section = check_health(server, server.rss_bytes(), 1 << 20)
    found = section.violations + server.suspicious_lines()
    told = "ended" if word == b"KILL" else "Traceback"
    assert any(told in text for text in found), found
    assert server.status == (3 if word == b"KILL" else 0)


@pytest.mark.e2e
async def test_a_server_that_does_not_start_is_left_dead(tmp_path: Path) -> None:
    server = AttackedServer(tmp_path, options=("--no-such-option",))
    with pytest.raises(Ended, match="no-such-option"):
        async with server:
            pytest.fail("it runs")
    assert not server.is_up


@pytest.mark.e2e
async def test_a_server_that_does_not_end_is_killed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "STOP_S", 0.5)
    async with AttackedServer(tmp_path) as server:
        freeze(server.pid)
    assert server.status == -9


@pytest.mark.e2e
async def test_growth_beyond_the_bound_is_noticed(tmp_path: Path) -> None:
    async with AttackedServer(tmp_path) as server:
        assert server.rss_bytes() > 10_000_000
        healthy = check_health(server, server.rss_bytes(), 1 << 20)
        grown = check_health(server, server.rss_bytes() - (2 << 20), 1 << 20)
    assert not healthy.violations
    assert any("memory" in text for text in grown.violations)


def test_the_server_runs_with_its_own_limits_for_frames() -> None:
    assert not set(LIFTED) & {"frame_bytes", "login_frame_bytes", "malformed_frames", "window"}
    assert "internal" not in server_check.CODES
