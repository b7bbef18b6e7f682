"""Who the generator logs in as: the names, and at our server their accounts, written down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from benchmarks.load import LOGINS_AT_ONCE
from benchmarks.peer import Account, Address, Peer, connect
from jim.crypto.keys import device_id

if TYPE_CHECKING:
    from pathlib import Path


PAIRS: Final = 1000
"""The largest workloads: the crowd's pairs, the recipients that come back, the people of a day."""

PASSWORD: Final = "bench"
"""Of all accounts at servers that want one (`benchmarks/generator/xmpp.c`)."""


def names() -> list[str]:
    """Name the senders and the receivers of all pairs as the generator does."""
    return [f"{letter}{index}" for letter in "sr" for index in range(PAIRS)]


def line(account: Account) -> str:
    """Give an account as the generator reads it: name, device, seed and head in hexadecimal."""
    device = device_id(account.key.public)
    return f"{account.name} {device} {account.key.seed.hex()} {account.head.hex()}\n"


def register(address: Address, file: Path) -> None:
    """Register all names, which nobody may own yet, and write the accounts to the file."""
    accounts = [Account(name) for name in names()]
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
