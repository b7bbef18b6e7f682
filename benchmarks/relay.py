"""The reference: a relay that does nothing but route, in the same language, loop and TLS.

It accepts with the server's own listener, and its TLS is the server's own channel. It knows nobody,
checks nothing, numbers nothing and stores nothing; so it is the roof over what the server could
reach on this machine in this hour. `python -m benchmarks.relay PORT DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import msgspec

from benchmarks import door
from jim.crypto.certificate import ensure_certificate
from jim.crypto.tls import server_tls
from jim.server.tls_channel import accept_tls

if TYPE_CHECKING:
    import socket

INTRODUCED: Final = b'{"action":"ok"}\n'
"""The answer to a name: from here on others may write to it."""


class Line(msgspec.Struct, gc=False):
    """What the relay looks at; an object without `to` introduces its sender by `name`."""

    id: int = 0
    n: int = 0
    to: str = ""
    message: str = ""
    name: str = ""


_decoder = msgspec.json.Decoder(Line)
_encode = msgspec.json.encode


class Switchboard:
    """What the connections share: who has which name, and who has something to write."""

    def __init__(self) -> None:
        self.names: dict[str, Relay] = {}
        self._marked: list[Relay] = []
        self._loop = asyncio.get_running_loop()

    def mark(self, relay: Relay) -> None:
        """Let a connection write at the end of the loop's turn; called once until it has."""
        if not self._marked:
            self._loop.call_soon(self._flush)
        self._marked.append(relay)

    def _flush(self) -> None:
        for relay in self._marked:
            relay.flush()
        self._marked.clear()


class Relay(asyncio.Protocol):
    """One connection."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._transport: asyncio.Transport
        self._out: list[bytes] = []
        self._rest = b""
        self._position = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Route every whole line."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        for line in _decoder.decode_lines(data[:end]) if end else ():
            if line.to:
                self._route(line)
            elif line.name:
                self._switchboard.names[line.name] = self
                self._send(INTRODUCED)

    def _route(self, line: Line) -> None:
        self._send(b'{"action":"stored","response":202,"id":%d,"n":%d}\n' % (line.id, line.n))
        self._switchboard.names[line.to].deliver(_encode(line.message))

    def deliver(self, text: bytes) -> None:
        """Send an encoded text on."""
        self._position += 1
        self._send(b'{"action":"msg","position":%d,"message":%b}\n' % (self._position, text))

    def _send(self, frame: bytes) -> None:
        """Queue a frame; everything is written once at the end of the loop's turn."""
        if not self._out:
            self._switchboard.mark(self)
        self._out.append(frame)

    def flush(self) -> None:
        """Write what has gathered."""
        self._transport.write(b"".join(self._out))
        self._out.clear()


async def serve(port: int, directory: Path) -> None:
    """Serve until killed."""
    certificate = ensure_certificate(directory / "tls.pem", ["localhost"], datetime.now(UTC))
    context = server_tls(certificate).context
    switchboard = Switchboard()

    async def take(sock: socket.socket) -> None:
        await accept_tls(sock, context, lambda: Relay(switchboard), door.HANDSHAKE_S)

    await door.serve(port, take)


if __name__ == "__main__":
    door.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
