"""Registers the accounts that the generator's `jim` protocol logs in with, and writes them down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.load import LOGINS_AT_ONCE
from benchmarks.peer import Account, Address, Peer, connect
from jim.crypto.keys import device_id

if TYPE_CHECKING:
    from pathlib import Path


def line(account: Account) -> str:
    """Give an account as the generator reads it: name, device, seed and head in hexadecimal."""
    device = device_id(account.key.public)
    return f"{account.name} {device} {account.key.seed.hex()} {account.head.hex()}\n"


def register(address: Address, names: list[str], file: Path) -> None:
    """Register the names, which nobody may own yet, and write the accounts to the file."""
    accounts = [Account(name) for name in names]
    asyncio.run(_enter_all(address, accounts))
    file.write_text("".join(map(line, accounts)), encoding="utf-8")


async def _enter_all(address: Address, accounts: list[Account]) -> None:
    gate = asyncio.Semaphore(LOGINS_AT_ONCE)

    async def enter(account: Account) -> None:
        async with gate:
            peer = await connect(Peer, address)
            await peer.login(account)
            peer.transport.abort()  # registered is registered; there is nothing to wait for
            await peer.gone.wait()

    await asyncio.gather(*map(enter, accounts))
