# long module: one program, from its start to its end
"""The server as a real process: how it starts, changes, refuses to start, and ends."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import socket
import sqlite3
import sys
from typing import TYPE_CHECKING

import pytest

from jim.crypto import keys
from jim.crypto.invites import parse_invite
from jim.protocol import messages as m
from unit_tests.support.processes import Program, environment
from unit_tests.support.serving import LOOPS
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]


class Machine:
    """A place to run `jim-server` in: an empty home, and a data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log" / "server.log"
        self._programs: list[Program] = []

    def run(self, *argv: str, **env: str) -> Program:
        variables = environment(
            self.directory / "home",
            JIM_SERVER_DATA_DIR=str(self.data),
            JIM_SERVER_LOG_DIR=str(self.log.parent),
            **env,
        )
        program = Program(sys.executable, "-m", "jim.server", *argv, env=variables)
        self._programs.append(program)
        return program

    def serve(self, *argv: str, **env: str) -> tuple[Program, int]:
        """Start a server on a free port; wait until it listens."""
        program = self.run("-a", "127.0.0.1", "-p", "0", *argv, **env)
        (line,) = program.expect("^JIM server .* listens on ")
        return program, int(line.rpartition(":")[2])

    def refused(self, *argv: str, **env: str) -> tuple[int, str]:
        """Run a command that does not start; give its status and its one line of complaint."""
        program = self.run(*argv, **env)
        status = program.wait()
        assert program.lines == []
        assert not any("Traceback" in line for line in program.errors), program.errors
        line, *hint = program.errors
        assert hint == ([] if status == 1 else ["See jim-server --help."])
        assert line.startswith("jim-server: ")
        return status, line.removeprefix("jim-server: ")

    def close(self) -> None:
        for program in self._programs:
            if program.process.poll() is None:
                program.kill()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    here = Machine(tmp_path)
    try:
        yield here
    finally:
        here.close()


# --- start --------------------------------------------------------------------------------------


def test_the_start_says_what_one_wants_to_know(machine: Machine) -> None:
    server, _ = machine.serve("--registration", "invite")
    server.expect("^Log: ")
    assert re.fullmatch(r"Fingerprint: (\w{4} ){7}\w{4}", server.lines[1])
    assert server.lines[2:] == [
        "New names: only with an invite (jim-server invite)",
        f"Data: {machine.data}",
        f"Log: {machine.log}",
    ]
    assert server.stop() == 0
    assert server.errors == []


def test_everything_that_it_makes_belongs_to_the_owner_alone(machine: Machine) -> None:
    server, _ = machine.serve()
    server.stop()
    assert machine.data.stat().st_mode & 0o777 == 0o700
    made = [*machine.data.iterdir(), *machine.log.parent.iterdir()]
    assert {"identity.key", "tls.pem", "server.db", "lock", "server.log"} <= {p.name for p in made}
    assert all(path.stat().st_mode & 0o077 == 0 for path in made)


def test_all_addresses_by_default(machine: Machine) -> None:
    server = machine.run("-p", "0")
    (line,) = server.expect("^JIM server .* listens on ")
    assert "0.0.0.0:" in line
    server.stop()


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(machine: Machine, loop: str, number: signal.Signals) -> None:
    server, port = machine.serve("--loop", loop)
    wires = [await Wire.connect(port) for _ in range(5)]
    for place, wire in enumerate(wires):
        await wire.register(Person(f"user{place}"))
    visitor = await Wire.connect(port)
    server.process.send_signal(number)
    waits = set()
    for wire in (*wires, visitor):
        (goodbye,) = await wire.ended()
        assert isinstance(goodbye, m.Goodbye)
        assert (goodbye.code, goodbye.response) == ("shutdown", 500)
        assert isinstance(goodbye.retry_after_ms, int)
        assert 500 <= goodbye.retry_after_ms <= 5_000
        waits.add(goodbye.retry_after_ms)
        wire.close()
    assert len(waits) > 1, "clients have to come back at different times"
    assert await asyncio.to_thread(server.wait) == 0
    assert server.errors == []


async def test_what_was_acknowledged_before_the_drain_is_there_after_it(machine: Machine) -> None:
    server, port = machine.serve()
    alice, bob = Person("alice"), Person("bob")
    wire = await Wire.connect(port)
    await wire.register(alice)
    other = await Wire.connect(port)
    await other.register(bob)
    wire.send(*(m.Msg(id=n, n=n, to="bob", message=str(n)) for n in range(1, 65)))
    await wire.expect(m.Stored)
    server.process.send_signal(signal.SIGTERM)
    rest = await wire.ended()
    stored = 1 + sum(isinstance(item, m.Stored) for item in rest)
    assert isinstance(rest[-1], m.Goodbye)
    wire.close()
    other.close()
    assert await asyncio.to_thread(server.wait) == 0
    _, port = machine.serve()
    wire = await Wire.connect(port)
    assert (await wire.login(alice)).last_n == stored
    wire.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process: Linux")
async def test_a_log_that_cannot_be_moved_at_the_end_is_told_and_nothing_is_lost(
    machine: Machine,
) -> None:
    server, port = machine.serve()
    alice = Person("alice")
    wire = await Wire.connect(port)
    await wire.register(alice)
    await wire.say(1, "alice", "kept")
    wire.close()
    # The database would have to grow beyond this, the log of the server does not.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    assert await asyncio.to_thread(server.stop) == 0
    (warning,) = server.errors
    assert warning.startswith(f"jim-server: warning: {machine.data / 'server.db'}: cannot write")
    assert "server.db-wal" in warning
    log = machine.log.read_text()
    assert f"the store did not close well: {machine.data / 'server.db'}" in log
    assert (machine.data / "server.db-wal").stat().st_size > 0
    again, port = machine.serve()
    wire = await Wire.connect(port)
    assert (await wire.login(alice)).last_n == 1
    wire.close()
    assert await asyncio.to_thread(again.stop) == 0
    assert again.errors == []


async def test_a_client_that_does_not_close_is_cut_off_within_drain_s(machine: Machine) -> None:
    server, port = machine.serve("--limit", "drain_s=0.2")
    sock = socket.create_connection(("127.0.0.1", port))
    wire = await Wire.connect(port)
    await wire.register(Person("alice"))
    wire.fall_asleep()
    assert await asyncio.to_thread(server.stop) == 0
    sock.close()
    wire.writer.transport.abort()


@pytest.mark.parametrize("loop", LOOPS)
async def test_with_a_stuck_reader_it_ends_all_the_same(machine: Machine, loop: str) -> None:
    """By when it cuts the reader off and closes the store: test_service."""
    lifted = ("message_burst=10000", "bytes_per_s=0", "outgoing_bytes=131072", "drain_s=2")
    flags = [word for limit in lifted for word in ("--limit", limit)]
    server, port = machine.serve("--loop", loop, *flags)
    bob = await Wire.connect(port)
    await bob.register(Person("bob"))
    await bob.sync()
    bob.fall_asleep()
    alice = await Wire.connect(port)
    await alice.register(Person("alice"))
    for n in range(1, 641):
        alice.post(n, "bob", "x" * 16_000)
        if n % 64 == 0:
            for _ in range(64):
                await alice.expect(m.Stored)
    assert await asyncio.to_thread(server.stop) == 0
    assert server.errors == []
    logged = machine.log.read_text()
    assert "1 clients did not close in time" in logged
    assert "the server has stopped" in logged.splitlines()[-1]
    for wire in (alice, bob):
        wire.writer.transport.abort()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_the_second_signal_ends_it_at_once(machine: Machine, second: signal.Signals) -> None:
    server, port = machine.serve("--limit", "drain_s=600")
    sock = socket.create_connection(("127.0.0.1", port))
    wire = await Wire.connect(port)
    await wire.register(Person("alice"))
    wire.fall_asleep()
    server.process.send_signal(signal.SIGINT)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionResetError:  # it stood in the queue of the socket that was just closed
            continue
        except ConnectionRefusedError:
            break
    server.process.send_signal(second)
    assert await asyncio.to_thread(server.wait) == -second
    sock.close()
    wire.writer.transport.abort()


# --- reload ---------------------------------------------------------------------------------------


async def policy(port: int) -> str:
    wire = await Wire.connect(port)
    await wire.greet()
    assert wire.challenge is not None
    wire.close()
    return m.parse_terms(wire.challenge.terms).policy.registration


async def logged(machine: Machine, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in machine.log.read_text():
            await asyncio.sleep(0.01)


async def test_sighup_takes_what_can_be_changed_and_names_what_cannot(machine: Machine) -> None:
    machine.data.mkdir(mode=0o700)
    config = machine.data / "server.toml"
    config.write_text('registration = "open"\n')
    server, port = machine.serve()
    early = await Wire.connect(port)
    early_spki = (await early.greet()).spki
    config.write_text('registration = "closed"\nlog_json = true\n[limits]\ntext_bytes = 10\n')
    (machine.data / "tls.pem").unlink()
    server.process.send_signal(signal.SIGHUP)
    await logged(machine, "reload: done")
    assert await policy(port) == "closed"
    log = machine.log.read_text()
    assert "reload: registration is now 'closed'" in log
    assert "reload: limits.text_bytes is now 10" in log
    assert "reload: log_json = True needs a restart" in log
    late = await Wire.connect(port)
    assert (await late.greet()).spki != early_spki
    early.close()
    late.close()
    assert await asyncio.to_thread(server.stop) == 0


async def test_a_mistake_at_the_reload_keeps_the_old_settings(machine: Machine) -> None:
    machine.data.mkdir(mode=0o700)
    config = machine.data / "server.toml"
    server, port = machine.serve("--registration", "invite")
    config.write_text('registratoin = "closed"\n')
    server.process.send_signal(signal.SIGHUP)
    await logged(machine, "the old settings stay in force")
    assert "did you mean 'registration'" in machine.log.read_text()
    assert await policy(port) == "invite"
    assert await asyncio.to_thread(server.stop) == 0


# --- refusals to start ----------------------------------------------------------------------------


def test_a_port_in_use(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, line = machine.refused("-a", "127.0.0.1", "-p", str(port))
    assert status == 1
    assert f"port {port}" in line
    assert "-p" in line
    assert not machine.data.exists()


def test_a_data_directory_that_cannot_be_made(machine: Machine) -> None:
    machine.data.write_text("a file in its place")
    status, line = machine.refused("-a", "127.0.0.1", "-p", "0")
    assert status == 1
    assert str(machine.data) in line
    assert machine.data.read_text() == "a file in its place"


def test_a_second_server_in_the_same_directory(machine: Machine) -> None:
    server, port = machine.serve()
    status, line = machine.refused("-a", "127.0.0.1", "-p", "0")
    assert status == 1
    assert str(server.process.pid) in line
    socket.create_connection(("127.0.0.1", port)).close()
    assert server.stop() == 0


def test_a_damaged_database(machine: Machine) -> None:
    machine.serve()[0].stop()
    database = machine.data / "server.db"
    damaged = b"this is not a database at all" * 100
    database.write_bytes(damaged)
    status, line = machine.refused("-a", "127.0.0.1", "-p", "0")
    assert status == 1
    assert str(database) in line
    assert "backup" in line
    assert database.read_bytes() == damaged


def test_a_database_of_a_newer_version(machine: Machine) -> None:
    machine.serve()[0].stop()
    database = machine.data / "server.db"
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (9999, '', 0)")
    connection.close()
    before = database.read_bytes()
    status, line = machine.refused("-a", "127.0.0.1", "-p", "0")
    assert status == 1
    assert "newer" in line
    assert database.read_bytes() == before


@pytest.mark.parametrize("name", ["identity.key", "tls.pem"])
def test_a_key_that_others_can_read(machine: Machine, name: str) -> None:
    machine.serve()[0].stop()
    (machine.data / name).chmod(0o644)
    status, line = machine.refused("-a", "127.0.0.1", "-p", "0")
    assert status == 1
    assert f"chmod 600 {machine.data / name}" in line


def test_a_certificate_that_is_none(machine: Machine, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    for flags in ((), ("--check-config",)):
        status, line = machine.refused("-p", "0", "--certificate", str(bad), *flags)
        assert status == 1
        assert str(bad) in line


def test_a_mistake_in_the_settings_is_a_mistake_of_usage(machine: Machine) -> None:
    for flags in ((), ("--check-config",), ("--print-config",)):
        status, line = machine.refused(*flags, JIM_SERVER_PORT="seven")
        assert status == 2
        assert "JIM_SERVER_PORT" in line
    program = machine.run("--no-such-flag")
    assert program.wait() == 2
    assert not machine.data.exists()


# --- other commands -------------------------------------------------------------------------------


def test_check_print_version_and_help_change_nothing(machine: Machine) -> None:
    for flags, expected in (
        (("--check-config",), "The settings are good."),
        (("--print-config", "-p", "1234"), "port = 1234  # --port"),
        (("--version",), "jim-server 0.1.0"),
        (("--help",), "listen on"),
    ):
        program = machine.run(*flags)
        assert program.wait() == 0
        assert any(expected in line for line in program.lines), program.lines
        assert program.errors == []
    assert not machine.data.exists()


def test_the_help_is_russian_where_people_speak_it(machine: Machine) -> None:
    program = machine.run("--help", LANGUAGE="ru")
    assert program.wait() == 0
    text = "\n".join(program.lines)
    assert "адрес" in text
    assert "listen on" not in text


def test_the_fingerprint_is_the_one_of_the_start(machine: Machine) -> None:
    server, _ = machine.serve()
    server.expect("Fingerprint")
    program = machine.run("fingerprint")
    assert program.wait() == 0
    assert server.lines[1] == f"Fingerprint: {program.lines[0]}"
    server.stop()
    shown = program.lines[1].removeprefix("For --pin: ")
    assert keys.fingerprint(keys.parse_pin(shown)) == program.lines[0]


@pytest.mark.parametrize("running", [False, True])
async def test_an_invite_lets_somebody_in(machine: Machine, running: bool) -> None:
    server, port = machine.serve("--registration", "invite")
    if not running:
        assert await asyncio.to_thread(server.stop) == 0
    flags = ("--host", "Chat.Example", "--port", "4242", "--uses", "1", "--days", "3")
    program = machine.run("invite", *flags)
    assert await asyncio.to_thread(program.wait) == 0
    assert program.errors == []
    (line,) = program.lines
    invite = parse_invite(line)
    assert (invite.host, invite.port) == ("chat.example", 4242)
    if not running:
        _, port = machine.serve("--registration", "invite")
    wire = await Wire.connect(port)
    await wire.register(Person("alice"), invite.token)
    assert wire.challenge is not None
    assert wire.challenge.server_id == invite.server_id
    other = await Wire.connect(port)
    other.send(other.registration(await other.greet(), Person("bob"), invite.token))
    assert (await other.error()).code == "invite_invalid"
    wire.close()
    other.close()
    logs = machine.log.read_text()
    assert invite.token not in logs


def test_an_invite_needs_a_port_and_sensible_numbers(machine: Machine) -> None:
    status, line = machine.refused("invite", "--port", "0")
    assert (status, "--port" in line) == (2, True)
    assert machine.run("invite", "--uses", "0").wait() == 2
    assert not machine.data.exists()
