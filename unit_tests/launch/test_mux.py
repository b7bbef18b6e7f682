"""One terminal for all: a real one, with a server and two clients behind it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.launch.ports import free_port
from unit_tests.launch.conftest import (
    environment,
    is_running,
    launcher_driver,
    running_server,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.launch.plan import Programs

if sys.platform == "win32":
    pytest.skip("there are no pseudo-terminals of this kind", allow_module_level=True)

from ptyprocess import PtyProcess

pytestmark = pytest.mark.e2e


class Terminal:
    """A launcher in mux mode behind a pseudo-terminal."""

    def __init__(self, programs: Programs, *options: str, **variables: str) -> None:
        self.port = free_port("127.0.0.1")
        self.shown = ""
        self.process = PtyProcess.spawn(
            launcher_driver(programs, "--mode", "mux", "-p", str(self.port), *options),
            env=environment(TERM="dumb", **variables),
            dimensions=(40, 200),
        )
        os.set_blocking(self.process.fd, False)

    def read(self) -> str:
        while True:
            try:
                received = os.read(self.process.fd, 65536)
            except (BlockingIOError, OSError):
                return self.shown
            if not received:
                return self.shown
            self.shown += received.decode(errors="replace").replace("\r\n", "\n")

    def expect(self, text: str) -> str:
        wait_until(lambda: text in self.read(), f"{text!r} in {self.shown!r}")
        return self.shown.partition(text)[2].partition("\n")[0]

    def type(self, line: str) -> None:
        self.process.write((line + "\n").encode())

    def pids(self) -> list[int]:
        server = self.expect("[server] listening").split()[0]
        clients = [self.expect(f"[{name}] Connection to the server") for name in ("alice", "bob")]
        return [int(server), *(int(line.partition(". ")[2].split()[0]) for line in clients)]

    def ended(self) -> int:
        wait_until(lambda: self.read() is not None and not self.process.isalive(), "the end")
        return int(self.process.exitstatus)


@pytest.fixture
def terminal(programs: Programs) -> Iterator[Terminal]:
    running = Terminal(programs)
    yield running
    running.process.terminate(force=True)


def test_people_talk_through_one_terminal(terminal: Terminal) -> None:
    pids = terminal.pids()
    for line in (">1 1", ">1 bob", ">1 привет, боб", ">bob message", ">2 1", ">2 alice", ">2 hi"):
        terminal.type(line)
    terminal.expect("[bob] Message from alice: привет, боб")
    terminal.expect("[bob] unknown: message")
    terminal.expect("[alice] Message from bob: hi")
    terminal.type("what now")
    terminal.expect("`>NUMBER text`")
    terminal.type(">1 1")
    terminal.type(">1 bob")
    terminal.type(">1 a\x16\x1b]0;title\x16\x07b")  # Ctrl+V keeps the terminal from obeying them
    terminal.expect("[bob] Message from alice: a‹1B›]0;title‹07›b")
    terminal.process.sendeof()
    assert terminal.ended() == 0
    assert not [pid for pid in pids if is_running(pid)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(terminal: Terminal, number: signal.Signals) -> None:
    pids = terminal.pids()
    if number is signal.SIGINT:
        terminal.process.sendintr()
    else:
        terminal.process.kill(number)
    assert terminal.ended() == 128 + number
    assert not [pid for pid in pids if is_running(pid)]


def test_the_clients_end_with_the_server(terminal: Terminal) -> None:
    server, *clients = terminal.pids()
    os.kill(server, signal.SIGKILL)
    terminal.expect("[server] the server ended with status 137")
    assert terminal.ended() == 1
    assert not [pid for pid in clients if is_running(pid)]


def test_it_ends_with_the_last_client(terminal: Terminal) -> None:
    server, *_clients = terminal.pids()
    terminal.type(">1 3")
    terminal.type(">2 3")
    assert terminal.ended() == 0
    assert not is_running(server)


def test_a_server_that_dies_shows_its_error(programs: Programs) -> None:
    terminal = Terminal(programs, FAKE_SERVER="dies")
    terminal.expect("[server] the disk is on fire")
    terminal.expect("jim-launch: the server ended at once, with status 1")
    assert terminal.ended() == 1


def run(programs: Programs, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        launcher_driver(programs, "--mode", "mux", *options),
        check=False,
        capture_output=True,
        text=True,
        input="",
        timeout=30,
    )


def test_a_port_in_use_is_one_clear_line(programs: Programs) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run(programs, "-p", port)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"another program uses port {port}" in done.stderr


def test_clients_join_a_server_that_runs(programs: Programs) -> None:
    port = free_port("127.0.0.1")
    done = run(programs, "-p", str(port), "--join")
    assert done.returncode == 1
    assert "no server answers" in done.stderr
    with running_server(programs, port) as server:
        done = run(programs, "-p", str(port))
        assert f"a JIM server is running on port {port}" in done.stderr
        assert "--join" in done.stderr
        done = run(programs, "-p", str(port), "--join")  # ends with its input
        assert done.returncode == 0
        assert "[server]" not in done.stdout
        assert server.poll() is None


def test_a_dry_run_prints_commands_and_starts_nothing(programs: Programs) -> None:
    done = run(programs, "--dry-run", "-p", "5", "-k", "3")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].endswith("fake_server.py -p 5 -a 127.0.0.1")
    assert lines[4].endswith("fake_client.py 127.0.0.1 5 -n carol")
