"""Devices that are added and removed at the same time, with the real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client import Address, Client
from jim.client.events import Fatal
from jim.crypto import link_code
from jim.crypto.chain import verify_chain
from jim.crypto.keys import device_id
from jim.errors import AuthFailed, ConnectFailed, Revoked
from unit_tests.client.machines import add, started, words_of
from unit_tests.client.newcomers import Newcomer, complete, handed, take_in, talk, texts

if TYPE_CHECKING:
    from jim.crypto.chain import ChainState
    from unit_tests.client.household import Household
    from unit_tests.client.listening import Listening
    from unit_tests.support.serving import Serving


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_code, "SCRYPT_N", 2)


async def device_of(listening: Listening) -> str:
    return (await listening.client._background.account()).record.device


async def chain_of(server: Serving, name: str) -> ChainState:
    account = await server.store.find_account(name)
    assert account is not None
    return verify_chain(account.links, name)


async def test_two_that_remove_each_other_leave_one(house: Household, server: Serving) -> None:
    first = await house.join("alice")
    second = await add(house, "alice", await words_of(first), "second")
    ids = [await device_of(first), await device_of(second)]
    await asyncio.gather(first.client.devices(fresh=True), second.client.devices(fresh=True))
    done = await asyncio.gather(
        first.client.revoke(ids[1]), second.client.revoke(ids[0]), return_exceptions=True
    )
    (left,) = (await chain_of(server, "alice")).devices
    winner, loser = (first, second) if left == ids[0] else (second, first)
    (failed,) = (each for each in done if isinstance(each, BaseException))
    assert isinstance(failed, Revoked | ConnectFailed)
    (fatal,) = await loser.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    assert [each.is_this for each in await winner.client.devices(fresh=True)] == [True]


@pytest.mark.parametrize("by", ["one", "two"])
async def test_two_new_devices_at_once(house: Household, server: Serving, by: str) -> None:
    alice, bob = await talk(house, 3)
    second = await add(house, "alice", await words_of(alice), "second") if by == "two" else alice
    laptop, tablet = Newcomer(house), Newcomer(house, "tablet")
    await asyncio.gather(
        take_in(alice, await laptop.screen.code()), take_in(second, await tablet.screen.code())
    )
    await asyncio.gather(laptop.joined(), tablet.joined())
    assert len((await chain_of(server, "alice")).devices) == (4 if by == "two" else 3)
    both = [await house.join("alice", home) for home in ("laptop", "tablet")]
    await handed(both[0])
    await handed(both[1])
    assert await texts(both[0], "bob") == await texts(alice, "bob")
    assert await texts(both[1], "bob") == await texts(second, "bob")
    await bob.client.send("alice", "to all of you")
    for each in both:
        await each.received(1)
    await house.aclose()
    assert complete(laptop.folder, tablet.folder)


async def test_a_device_that_is_removed_while_its_history_comes(
    house: Household, server: Serving
) -> None:
    alice, _ = await talk(house, 2)
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    joined = await new.joined()
    laptop = await house.start("alice", "laptop")
    await alice.client.revoke(joined.record.device)
    (fatal,) = await laptop.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    await laptop.aclose()
    again = Newcomer(house)
    await take_in(alice, await again.screen.code())
    assert (await again.joined()).record.device != joined.record.device
    laptop = await house.join("alice", "laptop")
    await handed(laptop)
    assert await texts(laptop, "bob") == await texts(alice, "bob")
    assert len((await chain_of(server, "alice")).devices) == 2
    await laptop.aclose()
    assert complete(new.folder)


async def test_a_device_that_was_added_unheard_and_removed_can_be_linked_again(
    house: Household, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = await talk(house, 1)
    new = Newcomer(house)
    offer = await new.added_unheard(alice)
    await alice.client.revoke(device_id(offer.login_key))
    again = Newcomer(house)
    await take_in(alice, await again.screen.code())
    await again.joined()
    laptop = await house.join("alice", "laptop")
    await handed(laptop)
    assert await texts(laptop, "bob") == await texts(alice, "bob")


async def test_who_has_tried_wrong_words_first_can_still_be_linked(house: Household) -> None:
    alice, bob = await talk(house, 1)
    vain = Client.recover(
        Address("127.0.0.1", house.port),
        "alice",
        await words_of(bob),
        data_dir=house.folder / "laptop",
    )
    listening = await started(house, vain)
    (fatal,) = await listening.wait(Fatal)
    assert isinstance(fatal.error, AuthFailed)
    await listening.aclose()
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    await new.joined()
    laptop = await house.join("alice", "laptop")
    await handed(laptop)
    assert await texts(laptop, "bob") == await texts(alice, "bob")


async def test_a_device_that_is_removed_as_soon_as_it_was_added(house: Household) -> None:
    """The new device hears of both, or of the second only: it is told, and the next run goes on."""
    alice, _ = await talk(house, 0)
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    (added,) = (each.id for each in await alice.client.devices(fresh=True) if not each.is_this)
    await alice.client.revoke(added)
    try:
        await new.joined()
    except Revoked:
        pass
    else:
        laptop = await house.start("alice", "laptop")
        await laptop.wait(Fatal)
        await laptop.aclose()
    again = Newcomer(house)
    await take_in(alice, await again.screen.code())
    assert (await again.joined()).record.device != added
