"""New devices that wait to be taken in, the histories that they get, and what tests ask of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest

from jim.client import Address, linking
from jim.client.accounts import Account
from jim.client.events import FirstContact, HistoryMoved
from jim.client.joining import Wish, join
from jim.client.local_accounts import account_directories
from jim.client.verify_store import verify_account

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.linking import Joined
    from jim.crypto.link_code import LinkCode
    from jim.errors import JimError
    from jim.protocol.messages import Offer
    from unit_tests.client.household import Household
    from unit_tests.client.listening import Listening


class Killed(Exception):
    """The process ends here."""


async def dies(*_: object) -> None:
    raise Killed


class Screen:
    """What a new device has shown."""

    def __init__(self) -> None:
        self.contacts: list[FirstContact] = []
        self.codes: asyncio.Queue[LinkCode] = asyncio.Queue()
        self.errors: list[JimError] = []
        self.expiries = self.refusals = 0

    def met(self, contact: FirstContact) -> None:
        self.contacts.append(contact)

    def show(self, code: LinkCode, expires_s: int) -> None:
        assert expires_s >= 0
        self.codes.put_nowait(code)

    def expired(self) -> None:
        self.expiries += 1

    def refused(self) -> None:
        self.refusals += 1

    def lost(self, error: JimError, retry_in_s: float) -> None:
        assert retry_in_s >= 0
        self.errors.append(error)

    async def code(self) -> LinkCode:
        async with asyncio.timeout(20):
            return await self.codes.get()


class Newcomer:
    """A new device that waits, in a folder of its own."""

    def __init__(self, house: Household, home: str = "laptop", port: int | None = None) -> None:
        self.screen = Screen()
        self.folder = house.folder / home
        address = Address("127.0.0.1", port or house.port)
        self.wish = Wish(address=address, name="Alice", data_dir=self.folder)
        self.joining = asyncio.create_task(join(self.wish, self.screen))

    async def joined(self) -> Joined:
        async with asyncio.timeout(20):
            return await self.joining

    async def offered_to(self, old: Listening) -> tuple[LinkCode, Offer]:
        """Give the code that it shows, and what another device sees of it by that."""
        code = await self.screen.code()
        offer = await old.client.find_device(code)
        assert offer is not None
        return code, offer

    async def added_unheard(self, old: Listening) -> Offer:
        """Be taken in, and die before that is heard of."""
        code, offer = await self.offered_to(old)
        with patch.object(linking, "_joined", dies):
            await old.client.take_in(offer, code, 0)
            with pytest.raises(Killed):
                await self.joined()
        return offer

    async def killed(self) -> None:
        """End it so that nothing is tidied up."""
        with patch.object(Account, "discard", Account.aclose):
            await self.given_up()

    async def given_up(self) -> None:
        """End it as Ctrl+C does."""
        self.joining.cancel()
        await asyncio.wait([self.joining])


async def take_in(old: Listening, code: LinkCode, shown_id: int | None = None) -> str:
    offer = await old.client.find_device(code)
    assert offer is not None
    seen = await old.client.highest_id() if shown_id is None else shown_id
    return await old.client.take_in(offer, code, seen)


async def handed(new: Listening) -> HistoryMoved:
    def is_end(event: HistoryMoved) -> bool:
        return event.incoming and event.ended

    [moved] = await new.wait(HistoryMoved, is_end)
    return moved


async def talk(house: Household, count: int = 10) -> tuple[Listening, Listening]:
    alice, bob = await house.join("alice"), await house.join("bob")
    for number in range(count):
        await alice.client.send("bob", f"question {number}")
        await bob.received(number + 1)
        await bob.client.send("alice", f"answer {number}")
        await alice.received(number + 1)
    return alice, bob


async def texts(listening: Listening, peer: str) -> list[str]:
    return [each.text for each in await listening.client.history(peer, limit=100_000)]


def complete(*folders: Path) -> bool:
    for folder in folders:
        for place in account_directories(folder):
            report = verify_account(place)
            assert report.is_complete, report.findings
    return True
