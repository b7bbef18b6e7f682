"""The demo passes only when everything arrived where it should, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from jim.launch import headless
from jim.launch.cli import main
from unit_tests.launch.conftest import is_running, launcher_driver, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jim.launch.plan import Programs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name != "posix", reason="the stand-ins use signals of POSIX"),
]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(headless, "LIMIT_S", 8.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def demo(programs: Programs) -> int:
    return main(["--mode", "headless"], programs)


def test_all_is_right(
    programs: Programs, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert demo(programs) == 0
    shown = capfd.readouterr().out
    for _writer, _reader, text in headless.TALK:
        assert shown.count(text) == 2  # once sent, once seen
    assert "carol saw nothing." in shown
    assert "WRONG" not in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("loses", "bob did not get this from alice"),
        ("doubles", "twice or out of order"),
        ("leaks", "carol saw what was not meant for them"),
    ],
)
def test_a_server_that_errs_is_found_out(
    programs: Programs,
    fault: str,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(headless, "LIMIT_S", 3.0)
    monkeypatch.setenv("FAKE_SERVER", fault)
    assert demo(programs) == 1
    shown = capfd.readouterr().out
    assert "WRONG: " in shown
    assert complaint in shown


def test_a_server_that_dies_shows_its_last_words(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_SERVER", "dies")
    assert demo(programs) == 1
    assert "the disk is on fire" in capfd.readouterr().err


def test_a_server_that_never_listens_is_given_up(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(headless, "LIMIT_S", 1.0)
    monkeypatch.setenv("FAKE_SERVER", "deaf")
    assert demo(programs) == 1
    assert "did not listen" in capfd.readouterr().err


def test_a_client_that_cannot_connect_is_named(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_CLIENT", "fails")
    assert demo(programs) == 1
    assert "alice could not connect" in capfd.readouterr().err


def test_clients_that_hang_are_ended_within_the_time(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(headless, "LIMIT_S", 2.0)
    monkeypatch.setattr("jim.launch.processes.END_TIMEOUT_S", 0.3)
    monkeypatch.setenv("FAKE_CLIENT", "hangs")
    assert demo(programs) == 1
    assert "alice did not end" in capfd.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_demo_and_its_children(
    programs: Programs, number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FAKE_SERVER", "loses")  # so that the demo waits
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    launcher = subprocess.Popen(
        launcher_driver(programs, "--mode", "headless"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(lambda: len(children_of(launcher.pid)) == 4, "server and three clients")
    children = children_of(launcher.pid)
    launcher.send_signal(number)
    assert launcher.wait(15) == 128 + number
    assert not [pid for pid in children if is_running(pid)]
    assert list(tmp_path.iterdir()) == []


def children_of(pid: int) -> list[int]:
    """Give the stand-ins that the launcher has started; not by `ps`, which small systems lack."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("fake_" in word for word in child.cmdline()):
                found.append(child.pid)
    return found
