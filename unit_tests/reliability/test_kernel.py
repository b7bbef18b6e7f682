"""The kernel's table of connections: who holds how much for whom."""

from __future__ import annotations

import socket
import time

from reliability.kernel import Held, held_for, parse

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
SERVER, PORT = "4D00007F:1F90", 8080
CLIENT = "0115007F:C001"


def line(local: str, remote: str, state: str, queues: str) -> str:
    return f"   0: {local} {remote} {state} {queues} 00:00000000 00000000     0 0 1 1 0"


def test_both_ends_of_a_connection_are_put_together() -> None:
    table = "\n".join(
        [
            HEAD,
            line(SERVER, CLIENT, "01", "00000100:00000007"),
            line(CLIENT, SERVER, "01", "00000009:00000020"),
        ]
    )
    assert parse(table, 21, PORT) == {"127.0.21.1:49153": Held(256, 32)}


def test_others_and_the_dead_do_not_count() -> None:
    table = "\n".join(
        [
            HEAD,
            line(SERVER, "0114007F:C001", "01", "00000100:00000000"),
            line("4D00007F:1F91", CLIENT, "01", "00000100:00000000"),
            line(SERVER, CLIENT, "06", "00000100:00000000"),
            line(SERVER, "00000000:0000", "0A", "00000000:00000000"),
        ]
    )
    assert parse(table, 21, PORT) == {}


def test_a_real_connection_whose_reader_sleeps() -> None:
    with socket.socket() as listener, socket.socket() as client:
        listener.bind(("127.0.0.78", 0))
        listener.listen()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.bind(("127.0.22.1", 0))
        client.connect(listener.getsockname())
        port, name = listener.getsockname()[1], client.getsockname()
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(False)
            sent = accepted.send(bytes(1 << 20))
            time.sleep(0.05)
            (held,) = held_for(22, port).items()
    assert held[0] == f"127.0.22.1:{name[1]}"
    assert held[1].unsent_bytes > 0
    assert held[1].unsent_bytes + held[1].unread_bytes >= sent
