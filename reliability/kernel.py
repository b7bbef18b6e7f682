"""What the kernel holds for a server's connections over loopback, read from /proc/net/tcp."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from msgspec import Struct

ESTABLISHED = 1
"""The state's number in <net/tcp_states.h>."""


class Held(Struct, frozen=True):
    """Bytes on the way between the server and one client, by the two ends that hold them."""

    unsent_bytes: int = 0
    """In the server's socket: written, not acknowledged by the other side."""
    unread_bytes: int = 0
    """In the client's socket: arrived, not read."""


def held_for(subnet: int, port: int) -> dict[str, Held]:
    """Give what is held for each client in 127.0.`subnet`.0/24, by "address:port" of the client."""
    return parse(Path("/proc/net/tcp").read_text(), subnet, port)


def parse(table: str, subnet: int, port: int) -> dict[str, Held]:
    """Read a table of /proc/net/tcp; `port` is the server's."""
    unsent: dict[str, int] = {}
    unread: dict[str, int] = {}
    for line in table.splitlines()[1:]:
        _, local, remote, state, queues, *_ = line.split()
        if int(state, 16) != ESTABLISHED:
            continue
        sending, receiving = (int(part, 16) for part in queues.split(":"))
        if _port(local) == port and _is_in(remote, subnet):
            unsent[_shown(remote)] = sending
        elif _port(remote) == port and _is_in(local, subnet):
            unread[_shown(local)] = receiving
    return {name: Held(unsent.get(name, 0), unread.get(name, 0)) for name in unsent | unread}


def _port(end: str) -> int:
    return int(end.rpartition(":")[2], 16)


def _address(end: str) -> str:
    number = int(end.partition(":")[0], 16)
    return socket.inet_ntoa(struct.pack("=I", number))


def _is_in(end: str, subnet: int) -> bool:
    return _address(end).startswith(f"127.0.{subnet}.")


def _shown(end: str) -> str:
    return f"{_address(end)}:{_port(end)}"
