"""Find a port for a server that is about to be started; never listen on it.

Every program of this project that starts servers takes its ports from here: the launcher, the
tests, the proof and the benchmarks.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
from typing import Final

PORTS: Final = range(20_000, 32_000)
"""Where to look. No system gives these away by itself: Linux begins at 32768
(ip_local_port_range in ip(7)), macOS and Windows at 49152 (RFC 6335, 6). A port that the system
chose could become that of any connection before the server listens on it, and again whenever the
server is started anew."""

TRIES: Final = 100
"""Ports looked at before the system is asked after all: more than are ever in use at once."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody uses at this moment, and that nobody is given unasked.

    Raises:
        OSError: nothing can listen on this address.
    """
    for _ in range(TRIES):
        port = secrets.choice(PORTS)
        with contextlib.suppress(OSError), socket.create_server((host, port)):
            return port
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])
