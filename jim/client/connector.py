"""Reach a server that proves to be the one we mean: known, named by an invite, or met just now."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from msgspec import Struct

from jim.client.known_servers import KnownServers
from jim.client.link import Link, connect
from jim.client.login import Greeting, greet
from jim.client.policy import LOGIN_S, modes_to_try
from jim.decorators import log_calls
from jim.errors import ConnectFailed, ServerIdentityChanged, TlsError

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.address import Address
    from jim.client.known_servers import KnownServer, Mode


class Contact(Struct, frozen=True):
    """A connection to a server that has proven its identity; `first` if it was not known before."""

    link: Link
    greeting: Greeting
    first: bool


class Connector:
    """Connects to one address, and remembers who was there."""

    def __init__(
        self, address: Address, data_dir: Path, *, pin: bytes | None, ca_file: Path | None
    ) -> None:
        """Take the address, where servers are remembered, an invite's pin, and a file of CAs."""
        self._address = address
        self._servers = KnownServers(data_dir)
        self._pin = pin
        self._ca_file = ca_file

    async def identity(self) -> bytes | None:
        """Give the identity that the server has to have, None before the first contact.

        Raises:
            KeyFileError: the file of known servers cannot be used.
            ServerIdentityChanged: the invite names another server than the one that is known.
        """
        return self._expected(await self._find())

    @log_calls
    async def connect(self) -> Contact:
        """Connect, check the server's proof, and remember the server if it is new.

        Raises:
            JimError: no connection, or not the server that we mean.
        """
        known = await self._find()
        link = await self._connect(known)
        try:
            async with asyncio.timeout(LOGIN_S):
                greeting = await greet(link, self._expected(known))
            if known is None or known.mode != link.mode:
                await self._remember(link.mode, greeting.server_id)
        except BaseException as error:
            await link.aclose()
            if isinstance(error, TimeoutError):
                raise ConnectFailed(f"{self._address}: no answer", reason="timeout") from error
            raise
        return Contact(link, greeting, known is None)

    async def _connect(self, known: KnownServer | None) -> Link:
        modes = modes_to_try(self._address, known, self._ca_file)
        for mode in modes[:-1]:
            with contextlib.suppress(TlsError):
                return await connect(self._address, mode, self._ca_file)
        return await connect(self._address, modes[-1], self._ca_file)

    def _expected(self, known: KnownServer | None) -> bytes | None:
        if known is None:
            return self._pin
        if self._pin is not None and self._pin != known.server_id:
            raise ServerIdentityChanged(address=str(self._address), reason="invite")
        return known.server_id

    async def _find(self) -> KnownServer | None:
        return await asyncio.to_thread(self._servers.find, self._address)

    async def _remember(self, mode: Mode, server_id: bytes) -> None:
        await asyncio.to_thread(self._servers.remember, self._address, mode, server_id)
