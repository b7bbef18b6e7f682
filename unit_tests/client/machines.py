"""Further machines of an account: recovered and reset ones, and what a test asks of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jim.client import Address, Client
from jim.client.events import MissingNotice, Registered
from jim.client.verify_store import verify_data_directory
from jim.crypto.chain import verify_chain
from unit_tests.client.listening import Listening

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.devices import Device
    from jim.crypto.chain import ChainState
    from unit_tests.client.household import Household
    from unit_tests.support.serving import Serving


async def words_of(listening: Listening) -> str:
    """The recovery words, told once; they count as seen now."""
    (registered,) = await listening.wait(Registered, lambda event: event.words is not None)
    await listening.client.words_shown()
    return " ".join(registered.words or ())


async def started(house: Household, client: Client) -> Listening:
    listening = Listening(client)
    house.clients.append(listening)
    await client.start()
    return listening


async def add(house: Household, name: str, words: str, home: str, port: int = 0) -> Listening:
    """Bring an account to a further machine."""
    address = Address("127.0.0.1", port or house.port)
    client = Client.recover(address, name, words, data_dir=house.folder / home)
    return await (await started(house, client)).online()


def reset(house: Household, name: str, words: str, home: str, port: int = 0) -> Client:
    address = Address("127.0.0.1", port or house.port)
    return Client.reset(address, name, words, data_dir=house.folder / home, language="ru")


async def device_of(listening: Listening) -> str:
    return (await listening.client._background.account()).record.device


async def chain_of(server: Serving, name: str) -> ChainState:
    account = await server.store.find_account(name)
    assert account is not None
    return verify_chain(account.links, name)


async def named(listening: Listening, **wanted: str) -> list[Device]:
    """The devices, as soon as they are called so; `this` and `other` are the ones meant."""
    async with asyncio.timeout(20):
        while True:
            devices = await listening.client.devices()
            called = {"this" if each.is_this else "other": each.name for each in devices}
            if called == wanted:
                return devices
            await asyncio.sleep(0.01)


def notices(listening: Listening) -> list[tuple[str, str]]:
    found = [event for event in listening.events if isinstance(event, MissingNotice)]
    return [(each.code, each.peer) for each in found]


def faults(folder: Path) -> list[object]:
    reports = verify_data_directory(folder)
    assert reports
    return [
        finding for report in reports.values() for finding in report.findings if finding.is_fault
    ]
