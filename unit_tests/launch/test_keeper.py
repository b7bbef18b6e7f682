"""A keeper ends its program when the pane, the window or the launcher is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from unit_tests.launch.conftest import is_running, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jim.launch.plan import Programs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]

STEADY = (
    "import os, pathlib, signal, sys; "
    "signal.signal(signal.SIGHUP, lambda *_: None); "
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); "
    "pathlib.Path(sys.argv[1]).write_text(f'{os.getpid()} '); "
    "[signal.pause() for _ in iter(int, 1)]"
)


def keep(
    programs: Programs, note: Path, *options: str, code: str = STEADY
) -> subprocess.Popen[bytes]:
    argv = [*programs.launcher, "--keep", *options, "--", sys.executable, "-c", code, str(note)]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def finish(keeper: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    shown, _nothing = keeper.communicate(timeout=15)
    return keeper.returncode, shown


def pid_in(note: Path) -> int:
    wait_until(lambda: note.exists() and note.read_text().endswith(" "), "the program")
    return int(note.read_text())


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_server_that_ignores_hangups_ends_with_its_pane(
    programs: Programs, tmp_path: Path, number: signal.Signals
) -> None:
    keeper = keep(programs, tmp_path / "pid", "server")
    server = pid_in(tmp_path / "pid")
    keeper.send_signal(number)
    assert finish(keeper)[0] == 9  # the server was asked, not killed
    assert not is_running(server)


def test_a_client_ends_with_its_lifeline(programs: Programs, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as launcher:
        port = str(launcher.getsockname()[1])
        keeper = keep(programs, tmp_path / "pid", "client", "--lifeline", port)
        client = pid_in(tmp_path / "pid")
        connection = launcher.accept()[0]
        assert is_running(client)
        connection.close()
        assert finish(keeper) == (9, b"")
        assert not is_running(client)


def test_a_client_without_a_launcher_ends_at_once(programs: Programs, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = str(gone.getsockname()[1])
    keeper = keep(programs, tmp_path / "pid", "client", "--lifeline", port)
    assert finish(keeper)[0] != 0


def test_an_error_stays_on_the_screen_until_it_was_read(programs: Programs, tmp_path: Path) -> None:
    code = "raise SystemExit(4)"
    keeper = keep(programs, tmp_path / "pid", "client", code=code)
    assert keeper.stdout is not None
    assert b"ended with status 4" in keeper.stdout.readline()
    assert b"Press Enter" in keeper.stdout.readline()
    assert keeper.poll() is None
    keeper.communicate(b"\n", timeout=15)
    assert keeper.returncode == 4


def test_ctrl_c_is_left_to_the_client(programs: Programs, tmp_path: Path) -> None:
    keeper = keep(programs, tmp_path / "pid", "client")
    client = pid_in(tmp_path / "pid")
    keeper.send_signal(signal.SIGINT)
    assert is_running(client)
    os.kill(client, signal.SIGTERM)
    shown, _nothing = keeper.communicate(b"\n", timeout=15)
    assert b"ended with status 9" in shown
