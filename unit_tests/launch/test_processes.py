"""Children are started, awaited and ended, and never outlive the launcher."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from jim.launch import processes
from jim.launch.plan import Command, LaunchError
from jim.launch.ports import free_port
from jim.launch.processes import (
    end,
    exit_status,
    port_answers,
    spawn,
    speaks_jim,
    wait_for_end,
    wait_for_port,
)
from jim.launch.signals import Interrupted, Stop
from unit_tests.launch.conftest import is_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX"),
]
HOST = "127.0.0.1"


def python(code: str, *arguments: str) -> Command:
    return Command((sys.executable, "-c", code, *arguments))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as server:
        yield server


def test_a_program_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(LaunchError, match="cannot start /no/such/program: No such file"):
        spawn(Command(("/no/such/program",)))


def test_the_extra_environment_reaches_the_child() -> None:
    code = "import os; raise SystemExit(int(os.environ['EXTRA']))"
    child = spawn(Command((sys.executable, "-c", code), (("EXTRA", "5"),)))
    assert child.wait(10) == 5


def test_a_port_is_found_as_soon_as_it_answers() -> None:
    port = free_port(HOST)
    code = "import socket, sys; socket.create_server((sys.argv[1], int(sys.argv[2]))).accept()"
    with Stop() as stop:
        child = spawn(python(code, HOST, str(port)))
        assert wait_for_port(HOST, port, stop, lambda: child.poll() is None)
        end([child])


def test_waiting_for_a_port_ends_with_the_server() -> None:
    with Stop() as stop:
        child = spawn(python("raise SystemExit(3)"))
        assert not wait_for_port(HOST, free_port(HOST), stop, lambda: child.poll() is None)
        assert exit_status(child) == 3


def test_waiting_for_a_port_ends_with_its_time() -> None:
    with Stop() as stop, pytest.raises(LaunchError, match="did not listen"):
        wait_for_port(HOST, free_port(HOST), stop, lambda: True, timeout_s=0.05)


def test_waiting_ends_with_a_signal() -> None:
    code = "import os, signal, sys; os.kill(int(sys.argv[1]), signal.SIGHUP); input()"
    with Stop() as stop:
        child = spawn(python(code, str(os.getpid())), stdin=subprocess.PIPE)
        with pytest.raises(Interrupted) as raised:
            wait_for_end(child, stop)
        assert raised.value.status == 128 + signal.SIGHUP
        end([child])
        assert child.stdin is not None
        child.stdin.close()


def test_the_handlers_of_before_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_jim_server_is_told_from_another(listener: socket.socket) -> None:
    def answer(text: bytes) -> None:
        connection = listener.accept()[0]
        with connection:
            connection.recv(1000)
            connection.sendall(text)

    port = listener.getsockname()[1]
    for text, ours in (
        (b'{"action":"error","code":"plaintext_refused"}\n', True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"[]\n", False),
    ):
        thread = threading.Thread(target=answer, args=(text,))
        thread.start()
        assert speaks_jim(HOST, port) is ours
        thread.join()
    assert port_answers(HOST, port)
    assert not port_answers(HOST, free_port(HOST))


def test_a_child_that_ignores_the_request_is_killed_with_its_own_children(tmp_path: Path) -> None:
    note = tmp_path / "pids"
    code = (
        "import os, pathlib, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{inner.pid} ')\n"
        "inner.wait()\nsignal.pause()\n"
    )
    child = spawn(python(code, str(note)))
    wait_until(lambda: note.exists() and note.read_text().endswith(" "), "the grandchild")
    inner = int(note.read_text())
    end([child], timeout_s=1.0)
    assert exit_status(child) == 128 + signal.SIGKILL
    wait_until(lambda: not is_running(inner), "the end of the grandchild")


def test_ending_what_has_ended_does_nothing() -> None:
    child = spawn(python("pass"))
    child.wait(10)
    end([child])
    assert child.returncode == 0


def test_ctrl_c_does_not_reach_a_child_with_a_session_of_its_own() -> None:
    child = spawn(python("input()"), stdin=subprocess.PIPE)
    assert os.getsid(child.pid) == child.pid
    shared = spawn(python("input()"), stdin=subprocess.PIPE, own_session=False)
    assert os.getpgid(shared.pid) == os.getpgid(0)
    end([child, shared])
    for one in (child, shared):
        assert one.stdin is not None
        one.stdin.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux")
def test_children_end_even_when_the_launcher_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import pathlib, signal, sys\n"
        "from jim.launch.plan import Command\n"
        "from jim.launch.processes import spawn\n"
        "child = spawn(Command((sys.executable, '-c', 'import signal; signal.pause()')))\n"
        "pathlib.Path(sys.argv[1]).write_text(f'{child.pid} ')\n"
        "signal.pause()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(note)])
    wait_until(lambda: note.exists() and note.read_text().endswith(" "), "the child")
    child = int(note.read_text())
    assert is_running(child)
    parent.kill()
    parent.wait(10)
    wait_until(lambda: not is_running(child), "the end of the child")


class Stubborn:
    """A child on a clock of its own, who ends by SIGKILL alone."""

    pid = 0

    def __init__(self, clock: list[float]) -> None:
        self.returncode: int | None = None
        self.told: list[int] = []
        self._clock = clock

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout_s: float) -> int:
        if self.returncode is None:
            self._clock[0] += timeout_s
            raise subprocess.TimeoutExpired("stubborn", timeout_s)
        return self.returncode


def test_children_share_the_time_that_they_have_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(child: Stubborn, number: int) -> None:
        child.told.append(number)
        if number == signal.SIGKILL:
            child.returncode = -number

    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(processes, "_signal", tell)
    children = [Stubborn(clock) for _index in range(3)]
    end(cast("list[subprocess.Popen[bytes]]", children), timeout_s=8.0)
    assert clock == [108.0]
    assert all(child.told == [signal.SIGTERM, signal.SIGKILL] for child in children)


def test_children_that_ignore_the_request_are_killed() -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); "
    children = [
        spawn(python(code + "signal.pause()"), stdout=subprocess.PIPE) for _index in range(3)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
        child.stdout.close()
    end(children, timeout_s=1.0)
    assert all(child.returncode == -signal.SIGKILL for child in children)
