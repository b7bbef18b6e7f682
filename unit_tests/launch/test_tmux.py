"""Real tmux, with servers of tmux made for the test alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
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
    from pathlib import Path

    from jim.launch.plan import Programs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


class Session:
    """A name for a session, and what is seen in it."""

    def __init__(self, programs: Programs) -> None:
        self.name = f"jimtest-{uuid.uuid4().hex[:12]}"
        self.port = free_port("127.0.0.1")
        self._programs = programs

    def launch(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        words = ("--mode", "tmux", "--session", self.name, "-p", str(self.port), *options)
        return subprocess.run(
            launcher_driver(self._programs, *words),
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=environment(**variables),
            timeout=40,
        )

    def tmux(self, *words: str) -> str:
        return subprocess.run(
            ["tmux", "-L", self.name, *words], check=False, capture_output=True, text=True
        ).stdout

    def panes(self) -> dict[str, str]:
        listed = self.tmux("list-panes", "-s", "-F", "#{@jim} #{pane_id}").splitlines()
        pairs = (line.split(" ") for line in listed)
        return {name: pane for name, pane in pairs if name}

    def screen(self, name: str) -> str:
        pane = self.panes().get(name)
        return self.tmux("capture-pane", "-p", "-J", "-S", "-", "-t", pane) if pane else ""

    def expect(self, name: str, text: str) -> None:
        wait_until(lambda: text in self.screen(name), f"{text!r} at {name}: {self.screen(name)!r}")

    def _told(self, name: str) -> list[str]:
        word = "listening" if name == "server" else "established."
        return self.screen(name).partition(word)[2].split()

    def pid(self, name: str) -> int:
        wait_until(lambda: self._told(name), f"{name} stands")
        return int(self._told(name)[0])

    def type(self, name: str, *lines: str) -> None:
        for line in lines:
            self.tmux("send-keys", "-t", self.panes()[name], "-l", line)
            self.tmux("send-keys", "-t", self.panes()[name], "Enter")

    def type_key(self, name: str, key: str) -> None:
        self.tmux("send-keys", "-t", self.panes()[name], key)

    def expect_gone(self, name: str) -> None:
        wait_until(lambda: name not in self.panes(), f"the end of {name}'s pane")


@pytest.fixture
def session(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with tempfile.TemporaryDirectory(prefix="jim-") as sockets:  # a short path: 108 bytes at most
        monkeypatch.setenv("TMUX_TMPDIR", sockets)
        made = Session(programs)
        yield made
        made.tmux("kill-server")


def test_people_talk_in_panes_and_closing_the_session_ends_all(session: Session) -> None:
    done = session.launch("-k", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Show it: tmux -L {session.name} attach-session -t ={session.name}" in done.stdout
    assert list(session.panes()) == ["server", "alice", "bob", "carol"]
    pids = [session.pid(name) for name in session.panes()]
    session.type("alice", "1", "bob", "привет из панели")
    session.expect("bob", "Message from alice: привет из панели")
    assert "привет" not in session.screen("carol")
    stop = done.stdout.partition("Stop everything: ")[2].split()
    subprocess.run(stop, check=True)
    for pid in pids:
        wait_until(lambda pid=pid: not is_running(pid), f"the end of {pid}")  # type: ignore[misc]


def test_a_second_launcher_says_what_runs(session: Session) -> None:
    assert session.launch().returncode == 0
    before = session.panes()
    done = session.launch()
    assert done.returncode == 1
    assert f"the session {session.name} is running already: server, alice, bob" in done.stderr
    assert "attach-session" in done.stderr
    assert "kill-session" in done.stderr
    assert "--session" in done.stderr
    assert session.panes() == before


def test_a_server_that_fails_takes_the_clients_along_and_keeps_its_error(session: Session) -> None:
    session.launch()
    clients = [session.pid("alice"), session.pid("bob")]
    session.pid("server")
    session.type("alice", "die")
    wait_until(lambda: list(session.panes()) == ["server"], "only the server's pane")
    for pid in clients:
        wait_until(lambda pid=pid: not is_running(pid), f"the end of {pid}")  # type: ignore[misc]
    session.expect("server", "The program ended with status 7.")
    session.type("server", "")
    wait_until(lambda: not session.panes(), "the end of the session")


def test_a_server_that_ends_well_closes_the_session(session: Session) -> None:
    session.launch()
    session.pid("bob")
    os.kill(session.pid("server"), signal.SIGTERM)
    wait_until(lambda: not session.panes(), "the end of the session")


def test_a_server_that_dies_at_once_leaves_no_session(session: Session) -> None:
    done = session.launch(FAKE_SERVER="dies")
    assert done.returncode == 1
    assert "the disk is on fire" in done.stderr
    assert session.panes() == {}


def test_a_client_that_fails_stays_readable(session: Session) -> None:
    assert session.launch("--names", "eve", FAKE_CLIENT="fails").returncode == 0
    session.expect("eve", "The program ended with status 4.")
    assert list(session.panes()) == ["server", "eve"]


def test_clients_join_a_server_that_runs(session: Session, programs: Programs) -> None:
    with running_server(programs, session.port):
        assert "--join" in session.launch().stderr
        assert session.panes() == {}
        assert session.launch("--join").returncode == 0
        assert list(session.panes()) == ["alice", "bob"]
        session.pid("alice")


def test_the_dry_run_is_a_script_that_works(session: Session) -> None:
    done = session.launch("--dry-run", "--names", "alice")
    lines = done.stdout.splitlines()
    assert lines[-1].split()[:2] == ["tmux", "-L"]
    subprocess.run(["sh", "-e", "-c", "\n".join(lines[:-1])], check=True, timeout=30)
    assert list(session.panes()) == ["server", "alice"]


def test_data_kept_elsewhere_reaches_the_panes(session: Session, tmp_path: object) -> None:
    session.launch("--data-dir", str(tmp_path), "--names", "alice")
    session.expect("alice", f"{tmp_path}/clients")


def test_inside_tmux_a_window_of_the_session_is_used(
    session: Session, programs: Programs, tmp_path: Path
) -> None:
    """The launcher is started by hand in a pane; its window comes beside that pane's.

    Its panes have the launcher's directories, not those of the tmux around.
    """
    driver = launcher_driver(programs, "-p", str(session.port))
    session.tmux(
        *(
            "-f",
            os.devnull,
            "new-session",
            "-d",
            "-s",
            "mine",
            "-x",
            "150",
            "-y",
            "50",
            "-n",
            "own",
        ),
        *("env", f"PYTHONPATH={os.environ['PYTHONPATH']}", f"JIM_DATA_DIR={tmp_path}"),
        *("sh", "-c", '"$@"; read done', "sh", *driver),
    )
    wait_until(lambda: "bob" in session.panes(), "the panes")
    pids = [session.pid(name) for name in ("server", "alice", "bob")]
    assert f" {tmp_path}" in session.screen("alice")
    assert session.tmux("list-windows", "-F", "#{window_name} #{window_active}").split() == [
        *("own", "0"),
        *("jim", "1"),
    ]
    session.tmux("kill-window", "-t", session.panes()["alice"])
    for pid in pids:
        wait_until(lambda pid=pid: not is_running(pid), f"the end of {pid}")  # type: ignore[misc]


def test_a_signal_while_starting_leaves_no_session(session: Session, programs: Programs) -> None:
    words = ("--mode", "tmux", "--session", session.name, "-p", str(session.port))
    launcher = subprocess.Popen(
        launcher_driver(programs, *words), env=environment(FAKE_SERVER="deaf")
    )
    wait_until(lambda: "server" in session.panes(), "the server's pane")
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(15) == 128 + signal.SIGTERM
    assert session.panes() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_with_a_terminal_it_attaches_and_says_what_goes_on_after_leaving(
    session: Session, programs: Programs
) -> None:
    from ptyprocess import PtyProcess

    words = ("--session", session.name, "-p", str(session.port))
    terminal = PtyProcess.spawn(
        launcher_driver(programs, *words),
        env=environment(TERM="xterm"),
        dimensions=(40, 150),
    )
    os.set_blocking(terminal.fd, False)
    shown = bytearray()

    def read() -> bytes:
        with contextlib.suppress(OSError):
            shown.extend(os.read(terminal.fd, 65536))
        return bytes(shown)

    wait_until(lambda: b"status-right" in read() or b"leave it running" in read(), "attached")
    session.pid("bob")
    terminal.write(b"\x02d")
    wait_until(lambda: b"still running" in read(), f"the way back in {shown!r}")
    wait_until(lambda: not terminal.isalive(), "the end of the launcher")
    assert terminal.exitstatus == 0
    assert is_running(session.pid("server"))
