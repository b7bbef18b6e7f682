from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reliability.injectors import namespaces
from reliability.injectors.namespaces import ADDRESSES, CLIENTS, NEEDS, SERVER, Cable
from reliability.injectors.system import command, missing
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(bool(missing(*NEEDS)), reason=f"needs {missing(*NEEDS)}")

RECEIVE = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 7777))
print("ready", flush=True)
seen = 0
while sock.recv(16) != b"end":
    seen += 1
    print(seen, flush=True)
"""
SEND = """
import socket, sys, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(2)
for _ in range(int(sys.argv[2])):
    try:
        sock.sendto(b"one", (sys.argv[1], 7777))
    except OSError:
        pass  # the cable is out on our side
    time.sleep(0.0005)
"""


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    with namespaces.laid() as laid:
        yield laid


@contextlib.contextmanager
def receiver(cable: Cable) -> Iterator[subprocess.Popen[str]]:
    words = [*cable.inside(SERVER), sys.executable, "-c", RECEIVE, ADDRESSES[SERVER]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def send(cable: Cable, count: int) -> None:
    address = ADDRESSES[SERVER]
    command(*cable.inside(CLIENTS), sys.executable, "-c", SEND, address, str(count))


def received(process: subprocess.Popen[str]) -> int:
    """Stop the receiver and count what it has seen."""
    assert process.stdout is not None
    process.kill()
    return len(process.stdout.read().splitlines())


def test_everything_arrives_when_nothing_is_broken(cable: Cable) -> None:
    with receiver(cable) as process:
        send(cable, 100)
        assert received(process) == 100


def test_packets_are_lost_and_counted(cable: Cable) -> None:
    with receiver(cable) as process, cable.losing(20):
        send(cable, 500)
        lost = cable.lost_packets()
        assert received(process) == 500 - lost[SERVER]
    assert 50 <= lost[SERVER] <= 160
    with receiver(cable) as process:
        send(cable, 100)
        assert received(process) == 100


@pytest.mark.parametrize("side", [SERVER, CLIENTS])
def test_nothing_comes_through_a_pulled_cable(cable: Cable, side: namespaces.Side) -> None:
    with receiver(cable) as process:
        with cable.pulled(side):
            assert not cable.is_up(SERVER)
            assert not cable.is_up(CLIENTS)
            send(cable, 50)
        assert cable.is_up(SERVER)
        assert cable.is_up(CLIENTS)
        send(cable, 3000)  # 1.5 s: who asked in vain for the other's address asks again after 1 s
        assert received(process) >= 1000


def test_a_pulled_cable_that_lets_packets_through_is_noticed(
    cable: Cable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cable, "_set_link", lambda *_: None)
    with receiver(cable), pytest.raises(NotTaken, match="came through"), cable.pulled(SERVER):
        send(cable, 5)


def test_nothing_is_left_over() -> None:
    with namespaces.laid() as cable:
        name = cable.inside(SERVER)[-1]
        assert Path("/run/netns", name).exists()
    assert not Path("/run/netns", name).exists()


def test_what_a_killed_run_has_left_is_swept_away() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = f"jimfault-{gone.pid}-1-server"
    command("ip", "netns", "add", name)
    with namespaces.laid():
        assert not Path("/run/netns", name).exists()
