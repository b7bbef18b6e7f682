from __future__ import annotations

import socket
import threading

import pytest

from reliability.injectors.proxy_thread import ProxyThread


def test_it_can_be_told_what_to_break_and_resets_everything_at_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with ProxyThread(listener.getsockname(), seed=1) as proxy:
            link = socket.create_connection(proxy.address, 5)
            link.sendall(b"hello")
            assert link.recv(5) == b"hello"
            proxy.do(lambda it: it.up.block())
            link.sendall(b"again")
            link.settimeout(0.1)
            with pytest.raises(TimeoutError):
                link.recv(5)
            proxy.do(lambda it: it.calm())
            link.settimeout(5)
            assert link.recv(5) == b"again"
            assert proxy.do(lambda it: it.up.tally.held_bytes) == 5
        with link, pytest.raises(ConnectionResetError):
            link.recv(1)


def test_what_it_raises_is_raised_where_it_was_asked() -> None:
    with ProxyThread(("127.0.0.1", 1), seed=1) as proxy, pytest.raises(ZeroDivisionError):
        proxy.do(lambda _: 1 // 0)


def _echo(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        while data := _received(connection):
            connection.sendall(data)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""
