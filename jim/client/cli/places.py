"""Where an account's own files are, once its server is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jim.client.console.shown import FILE_NAME, Shown
from jim.client.known_servers import KnownServers
from jim.client.local_accounts import account_directory, default_data_dir

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.address import Address
    from jim.client.console.library import Messenger


def account_place(address: Address, name: str, data_dir: Path | None) -> Path | None:
    """Give the directory of an account, None if its server was never met. Blocks, small.

    Raises:
        KeyFileError: the file of known servers cannot be used.
    """
    folder = data_dir or default_data_dir()
    known = KnownServers(folder).find(address)
    return None if known is None else account_directory(folder, known.server_id, name)


async def open_shown(address: Address, client: Messenger, data_dir: Path | None) -> Shown:
    """Open the cursor of what was shown; where there is no place for it, one in memory.

    Raises:
        KeyFileError: as `account_place`.
        JimError: the store cannot be read.
    """
    store_id, highest_id = await client.store_id(), await client.highest_id()
    return await asyncio.to_thread(_open, address, client.name, data_dir, store_id, highest_id)


def _open(
    address: Address, name: str, data_dir: Path | None, store_id: str, highest_id: int
) -> Shown:
    place = account_place(address, name, data_dir)
    try:
        return Shown(None if place is None else place / FILE_NAME, store_id, highest_id)
    except OSError:
        return Shown(None)
