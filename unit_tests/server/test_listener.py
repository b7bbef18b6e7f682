from __future__ import annotations

import asyncio
import errno
import logging
import socket
from typing import Any

import pytest

from jim.errors import ListenFailed
from jim.server import listener
from jim.server.listener import Listener, open_sockets, shown
from unit_tests.support.serving import until


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_all_addresses_by_default_with_one_port_in_both_families() -> None:
    sockets = open_sockets("", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert sockets[0].getsockname()[0] == "0.0.0.0"
        assert shown(sockets[0]).startswith("0.0.0.0:")
        if len(sockets) == 2:
            assert shown(sockets[1]).startswith("[::]:")
    finally:
        close(sockets)


def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.socket

    def without_ipv6(family: int = -1, *rest: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr("jim.server.listener.socket.socket", without_ipv6)
    sockets = open_sockets("", 0)
    close(sockets)
    assert [sock.family for sock in sockets] == [socket.AF_INET]


def test_a_name_and_an_address_will_do() -> None:
    for address in ("localhost", "127.0.0.1"):
        sockets = open_sockets(address, 0)
        close(sockets)
        assert sockets


def test_a_port_in_use() -> None:
    first = open_sockets("127.0.0.1", 0)
    first[0].listen()
    port = first[0].getsockname()[1]
    try:
        for address in ("127.0.0.1", ""):
            with pytest.raises(ListenFailed, match=f"port {port}: another program") as caught:
                open_sockets(address, port)
            assert caught.value.fields["reason"] == "in_use"
    finally:
        close(first)


@pytest.mark.parametrize(
    ("address", "reason"), [("no such host.invalid", "name"), ("192.0.2.1", "address")]
)
def test_an_address_that_is_not_ours(address: str, reason: str) -> None:
    with pytest.raises(ListenFailed) as caught:
        open_sockets(address, 0)
    assert caught.value.fields["reason"] == reason


def test_a_port_that_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listener, "_bind", refuse)
    with pytest.raises(ListenFailed, match="1024") as caught:
        open_sockets("", 777)
    assert caught.value.fields["reason"] == "permission"


class Exhausted(socket.socket):
    """A listening socket that has no descriptors to give until it is relieved."""

    tries = 0
    relieved = False

    def accept(self) -> Any:
        self.tries += 1
        if not self.relieved:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_descriptors_it_waits_says_so_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "EXHAUSTED_S", 0.01)
    sock = Exhausted()
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    taken: asyncio.Queue[socket.socket] = asyncio.Queue()
    listening = Listener([sock], lambda accepted, _: taken.put_nowait(accepted))
    with socket.create_connection(sock.getsockname()) as client, caplog.at_level(logging.ERROR):
        await until(lambda: sock.tries >= 3)
        begun = asyncio.get_running_loop().time()
        tries = sock.tries
        await until(lambda: asyncio.get_running_loop().time() > begun + 0.1)
        assert sock.tries - tries <= 20, "it must not spin"
        sock.relieved = True
        accepted = await asyncio.wait_for(taken.get(), 10)
        assert accepted.getpeername() == client.getsockname()
        accepted.close()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    listening.close()


async def test_a_fault_with_one_connection_does_not_stop_the_accepting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken: asyncio.Queue[socket.socket] = asyncio.Queue()
    faults = iter([RuntimeError("no")])

    def accept(accepted: socket.socket, _: str) -> None:
        for fault in faults:
            raise fault
        taken.put_nowait(accepted)

    sockets = open_sockets("127.0.0.1", 0)
    listening = Listener(sockets, accept)
    where = sockets[0].getsockname()
    with socket.create_connection(where), socket.create_connection(where):
        (await asyncio.wait_for(taken.get(), 10)).close()
    assert len(caplog.records) == 1
    listening.close()
