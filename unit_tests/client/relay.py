"""A network between client and server that can be cut, refuse, or swallow what it carries."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class Relay:
    """Forwards TCP from a port of its own to whatever port the server has at the moment."""

    def __init__(self, target_port: int | None) -> None:
        self.target_port = target_port
        """None: connections are closed at once, as if there were no server."""
        self.deaf = False
        """What the server says is lost, though the connection stays."""
        self.on_answer: Callable[[], None] = lambda: None
        """Called for each piece that the server says."""
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.target_port is None:
            writer.transport.abort()
            return
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, upstream[1]}
        await asyncio.gather(
            self._carry(reader, upstream[1], answer=False),
            self._carry(upstream[0], writer, answer=True),
        )
        self._writers -= {writer, upstream[1]}

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if answer:
                    self.on_answer()
                if not (answer and self.deaf):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort() if reader.at_eof() is False else writer.close()
