"""A process that holds connections up to one layer of the server, and tells what they take.

`python -m benchmarks.layers LAYER PORT DIRECTORY DESCRIPTOR [trace]` is started by
`benchmarks.memory`, which asks over the socket of that descriptor: each line is a question, each
answer a line of JSON. With `trace` it counts the bytes of Python's objects by the file that made
them, which makes them larger, so such a process is not weighed.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import socket
import sys
import threading
import tracemalloc
from collections import defaultdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, cast

import jim
from benchmarks import door
from benchmarks.targets import HOST, lifted
from jim.crypto.certificate import ensure_certificate
from jim.crypto.tls import server_tls
from jim.server import main
from jim.server.tls_channel import accept_tls

LOGIN_S: Final = 600
"""The server's limit for a login, lifted: connections that do not log in are to be looked at."""

TRIM, TRACE = "trim", "trace"
"""The questions: give freed memory back; how many bytes each file's objects have."""

PACKAGE: Final = Path(jim.__file__).parent.parent


class Layer(StrEnum):
    """What a connection consists of; each has everything of those before it."""

    TRANSPORT = "transport"
    TLS = "tls"
    SERVER = "server"


class Held(asyncio.Protocol):
    """The least that holds a connection."""

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)


async def hold_transports(port: int) -> None:
    """Accept without TLS."""

    async def take(sock: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(Held, sock)

    await door.serve(port, take)


async def hold_channels(port: int, directory: Path) -> None:
    """Shake hands, with the server's own channel."""
    certificate = ensure_certificate(directory / "tls.pem", ["localhost"], datetime.now(UTC))
    context = server_tls(certificate).context

    async def take(sock: socket.socket) -> None:
        await accept_tls(sock, context, Held, door.HANDSHAKE_S)

    await door.serve(port, take)


def serve(port: int, directory: Path) -> None:
    """Run our server."""
    place = ["-a", HOST, "-p", str(port), "--data-dir", str(directory)]
    main.main([*place, *lifted(), "--limit", f"login_s={LOGIN_S}"])


def answer_all(questions: socket.socket) -> None:
    """Answer until the other side hangs up."""
    with questions, questions.makefile("rw", encoding="utf-8") as stream:
        for line in stream:
            stream.write(json.dumps(ANSWERS[line.strip()]()) + "\n")
            stream.flush()


def trimmed() -> None:
    """Give back what nobody uses: cycles, then the allocator's free pages."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # glibc (malloc_trim(3)), as `jim.server.loops` tunes it


def traced() -> dict[str, int]:
    """Give the bytes that are in use, by the file whose line has asked for them."""
    gc.collect()
    found: defaultdict[str, int] = defaultdict(int)
    for statistic in tracemalloc.take_snapshot().statistics("filename"):
        found[file_name(statistic.traceback[0].filename)] += statistic.size
    return dict(found)


def file_name(path: str) -> str:
    """Shorten a path: of the project from its root on, of others the last two parts."""
    found = Path(path)
    if found.is_relative_to(PACKAGE):
        return found.relative_to(PACKAGE).as_posix()
    return "/".join(found.parts[-2:])


ANSWERS: Final[dict[str, Any]] = {TRIM: trimmed, TRACE: traced}


def start(layer: Layer, port: int, directory: Path) -> None:
    """Hold connections until killed."""
    if layer is Layer.TRANSPORT:
        door.run(hold_transports(port))
    elif layer is Layer.TLS:
        door.run(hold_channels(port, directory))
    else:
        serve(port, directory)


if __name__ == "__main__":
    if TRACE in sys.argv[5:]:
        tracemalloc.start()
    threading.Thread(
        target=answer_all, args=[socket.socket(fileno=int(sys.argv[4]))], daemon=True
    ).start()
    start(Layer(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
