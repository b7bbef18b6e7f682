"""Ports for servers that are about to be started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from jim.launch import ports

HOST = "127.0.0.1"
SYSTEM = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not SYSTEM.exists(), reason="the kernel does not say what it gives away")
def test_the_system_gives_none_of_them_to_a_connection() -> None:
    first, _ = (int(word) for word in SYSTEM.read_text().split())
    if first < ports.PORTS.stop:
        pytest.skip("this machine gives away more than systems do")
    assert all(ports.free_port() < first for _ in range(20))


def test_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as taken, socket.create_server((HOST, 0)) as other:
        free = other.getsockname()[1]
        other.close()
        choices = iter([taken.getsockname()[1]] * 5 + [free])
        monkeypatch.setattr("jim.launch.ports.secrets.choice", lambda _: next(choices))
        assert ports.free_port(HOST) == free


def test_an_address_on_which_nothing_can_listen_is_said_so() -> None:
    with pytest.raises(OSError, match=r"198\.51\.100\.1|assign|address"):
        ports.free_port("198.51.100.1")
