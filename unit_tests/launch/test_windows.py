"""Clients in windows end with the launcher and with the server; a script plays the terminal."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from jim.launch.ports import free_port
from unit_tests.launch.conftest import environment, is_running, launcher_driver, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.launch.plan import Programs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script"),
]


class Windows:
    """A launcher with two windows, which write into files."""

    def __init__(self, programs: Programs, directory: Path, *, detach: bool) -> None:
        self.directory = directory
        terminal = directory / "terminal"
        # Like a terminal that hands over to a running instance: it is no parent of the program.
        start = 'setsid "$@" >"$f" 2>&1 </dev/zero &' if detach else 'exec "$@" >"$f" 2>&1 <"$p"'
        terminal.write_text(
            f'#!/bin/sh\nshift\nfor last; do :; done\nf="{directory}/$last.out"\n'
            f'p="{directory}/$last.in"\nmkfifo "$p"\nexec 3<>"$p"\n{start}\n'.replace(
                "</dev/zero", '<"$p"'
            )
        )
        terminal.chmod(0o700)
        self.port = free_port("127.0.0.1")
        with (directory / "launcher.out").open("wb") as output:
            self.launcher = subprocess.Popen(
                launcher_driver(programs, "--mode", "windows", "-p", str(self.port)),
                env=environment(DISPLAY=":0", TERMINAL=str(terminal)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def shown(self, name: str) -> str:
        path = self.directory / f"{name}.out"
        return path.read_text() if path.exists() else ""

    def _told(self, name: str) -> list[str]:
        word = "listening" if name == "launcher" else "established."
        return self.shown(name).partition(word)[2].split()

    def pid(self, name: str) -> int:
        wait_until(lambda: self._told(name), f"{name} stands")
        return int(self._told(name)[0])

    def pids(self) -> list[int]:
        return [self.pid(name) for name in ("launcher", "alice", "bob")]


@contextlib.contextmanager
def windows(programs: Programs, directory: Path, *, detach: bool = True) -> Iterator[Windows]:
    running = Windows(programs, directory, detach=detach)
    try:
        yield running
    finally:
        running.launcher.kill()
        running.launcher.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize("detach", [True, False])
def test_windows_end_with_the_launcher(
    programs: Programs, tmp_path: Path, number: signal.Signals, detach: bool
) -> None:
    with windows(programs, tmp_path, detach=detach) as running:
        pids = running.pids()
        running.launcher.send_signal(number)
        status = running.launcher.wait(15)
        assert status == (-number if number == signal.SIGKILL else 128 + number)
        for pid in pids:
            wait_until(lambda pid=pid: not is_running(pid), "the end of all")  # type: ignore[misc]


def test_windows_end_with_the_server(programs: Programs, tmp_path: Path) -> None:
    with windows(programs, tmp_path) as running:
        server, *clients = running.pids()
        os.kill(server, signal.SIGKILL)
        assert running.launcher.wait(15) == 1
        assert "the server ended with status 137" in running.shown("launcher")
        for pid in clients:
            wait_until(lambda pid=pid: not is_running(pid), "the end of all")  # type: ignore[misc]
