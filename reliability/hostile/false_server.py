"""What stands in the place of a server: its TLS, its port, and what it could not read."""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from jim.crypto.tls import ServerTls


class FalseServer(abc.ABC):
    """Listens for as long as its context lasts; what happens on a connection is `_serve`."""

    def __init__(self, tls: ServerTls) -> None:
        """Take the certificate to show."""
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.unreadable: list[str] = []
        """Frames of clients that are no messages: there must never be any."""

    @property
    def port(self) -> int:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("it does not serve")
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", 0, ssl=self._tls.context
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    @abc.abstractmethod
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do what is to be done with a connection."""
