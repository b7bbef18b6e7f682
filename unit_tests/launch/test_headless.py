"""The demo passes only when everything arrived where it should, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from jim.launch import headless
from jim.launch.cli import main
from jim.launch.ports import free_port
from unit_tests.launch.conftest import is_running, launcher_driver, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from jim.launch.plan import Programs

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.name != "posix", reason="the stand-ins use signals of POSIX"),
]


TALK = [text for texts in zip(headless.THERE, headless.BACK, strict=True) for text in texts]


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def demo(programs: Programs, *words: str) -> int:
    return main(["--mode", "headless", *words], programs)


def test_all_is_right(
    programs: Programs, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert demo(programs) == 0
    shown = capfd.readouterr().out
    for text in TALK:
        assert shown.count(text) == 2  # once sent, once seen
    assert "a server and 3 clients" in shown
    assert "carol saw nothing." in shown
    assert "WRONG" not in shown
    assert list(tmp_path.iterdir()) == []


def test_clients_names_and_port_are_those_asked_for(
    programs: Programs, capfd: pytest.CaptureFixture[str]
) -> None:
    port = str(free_port("127.0.0.1"))
    assert demo(programs, "-k", "4", "-p", port, "--names", "Eve,пётр") == 0
    shown = capfd.readouterr().out
    assert f"The server listens on 127.0.0.1:{port}." in shown
    assert f"eve → пётр: {TALK[0]}" in shown
    assert f"    Message from eve: {TALK[0]}" in shown
    assert [name for name in ("alice", "bob") if f"{name} saw nothing." in shown] == [
        "alice",
        "bob",
    ]


def test_two_clients_are_enough(programs: Programs, capfd: pytest.CaptureFixture[str]) -> None:
    assert demo(programs, "-k", "2") == 0
    assert "saw nothing" not in capfd.readouterr().out


def test_the_dry_run_shows_what_would_be_started(
    programs: Programs, capfd: pytest.CaptureFixture[str]
) -> None:
    assert demo(programs, "--dry-run", "-k", "2", "-p", "4242") == 0
    server, *clients = capfd.readouterr().out.splitlines()
    assert "-p 4242 -a 127.0.0.1" in server
    assert [line.rpartition(" ")[2] for line in clients] == ["alice", "bob"]


def test_a_port_in_use_is_not_taken(programs: Programs, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert demo(programs, "-p", str(port)) == 1
    assert capfd.readouterr().err == (
        f"jim-launch: another program uses port {port}: choose another one with -p\n"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-k", "1"), "between 2 and 16"),
        (("-k", "17"), "between 2 and 16"),
        (("--names", "bob"), "between 2 and 16"),
        (("--join",), "--join is not for the demo"),
        (("--data-dir", "x"), "--data-dir is not for the demo"),
    ],
)
def test_what_the_demo_cannot_do_is_wrong_usage(
    programs: Programs, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    assert demo(programs, *words) == 2
    shown = capfd.readouterr()
    assert complaint in shown.err
    assert shown.out == ""


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
    if fault == "loses":
        monkeypatch.setattr(headless, "TALK_S", 1.0)  # the message will not come in a minute either
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
    monkeypatch.setattr(headless, "START_S", 0.5)
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
    monkeypatch.setattr(headless, "TALK_S", 0.2)
    monkeypatch.setattr(headless, "END_S", 0.2)
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
    assert launcher.wait(30) == 128 + number
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
