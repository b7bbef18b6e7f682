"""The reference: a relay that does nothing but route, in the same language, loop and TLS.

It knows nobody, checks nothing, numbers nothing and stores nothing; so it is the roof over what the
server could reach on this machine in this hour. `python -m benchmarks.relay PORT DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
import uvloop

from jim.crypto.certificate import ensure_certificate
from jim.crypto.tls import server_tls

_names: dict[str, Relay] = {}
_dirty: list[Relay] = []


class Line(msgspec.Struct, gc=False):
    """What the relay looks at; an object without `to` introduces its sender by `name`."""

    id: int = 0
    n: int = 0
    to: str = ""
    message: str = ""
    name: str = ""


_decoder = msgspec.json.Decoder(Line)
_encode = msgspec.json.encode


class Relay(asyncio.Protocol):
    """One connection of the relay."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.out: list[bytes] = []
        self._rest = b""
        self.position = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Route every whole line."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        for line in _decoder.decode_lines(data[:end]) if end else ():
            if line.to:
                self._route(line)
            elif line.name:
                _names[line.name] = self

    def _route(self, line: Line) -> None:
        self.send(b'{"action":"stored","response":202,"id":%d,"n":%d}\n' % (line.id, line.n))
        receiver = _names[line.to]
        receiver.position += 1
        receiver.send(
            b'{"action":"msg","position":%d,"message":%b}\n'
            % (receiver.position, _encode(line.message))
        )

    def send(self, frame: bytes) -> None:
        """Queue a frame; everything is written once at the end of the loop's turn."""
        if not self.out:
            if not _dirty:
                asyncio.get_running_loop().call_soon(flush)
            _dirty.append(self)
        self.out.append(frame)


def flush() -> None:
    """Write what has gathered, one write a connection."""
    for relay in _dirty:
        relay.transport.write(b"".join(relay.out))
        relay.out.clear()
    _dirty.clear()


async def main(port: int, directory: Path) -> None:
    """Serve until killed."""
    certificate = ensure_certificate(directory / "tls.pem", ["localhost"], datetime.now(UTC))
    context = server_tls(certificate).context
    server = await asyncio.get_running_loop().create_server(Relay, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
