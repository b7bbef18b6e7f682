"""A new device taken in over a real server, with the history that the old one hands over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client import linking
from jim.client.account_record import Stage, read_account
from jim.client.events import DevicesChanged, HistoryMoved, LinkChanged
from jim.client.local_accounts import account_directories
from jim.client.schema import open_database
from jim.crypto import link_code
from jim.crypto.link_code import LinkCode, make_code, new_secret
from jim.errors import AccountExists, ChainInvalid, JimError, LinkUnfinished, OfferGone
from unit_tests.client.household import Household
from unit_tests.client.newcomers import Newcomer, complete, handed, take_in, talk, texts
from unit_tests.support.serving import QUICK, serving

if TYPE_CHECKING:
    from pathlib import Path

    from unit_tests.client.listening import Listening
    from unit_tests.client.relay import Relay


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_code, "SCRYPT_N", 2)


async def test_a_new_device_has_the_history_and_both_get_everything(house: Household) -> None:
    alice, bob = await talk(house)
    new = Newcomer(house)
    digits = await take_in(alice, await new.screen.code())
    joined = await new.joined()
    assert digits == joined.confirmation
    assert [met.mode for met in new.screen.contacts] == ["pin"]
    laptop = await house.join("alice", "laptop")
    assert (await handed(laptop)).done == 20
    assert await texts(laptop, "bob") == await texts(alice, "bob")
    await alice.wait(HistoryMoved, lambda event: event.ended)
    await bob.client.send("alice", "to both")
    await laptop.received(1)
    await alice.received(11)
    await laptop.client.send("bob", "from the laptop")
    await bob.received(11)
    await alice.client.send("bob", "from the old one")
    await bob.received(12)
    assert await laptop.client.flush(10)
    expected = await texts(bob, "alice")
    assert expected[-3:] == ["to both", "from the laptop", "from the old one"]
    async with asyncio.timeout(20):
        while [await texts(each, "bob") for each in (alice, laptop)] != [expected, expected]:
            await asyncio.sleep(0.05)
    for each in (alice, bob, laptop):
        await each.aclose()
    assert not [each for each in alice.events if isinstance(each, DevicesChanged)]
    assert complete(house.folder / "alice", house.folder / "bob", new.folder)
    again = await house.join("alice", "alice")
    assert not [each for each in again.events if isinstance(each, DevicesChanged)]


async def test_what_was_not_read_is_told(house: Household) -> None:
    alice, _ = await talk(house, 3)
    first = (await alice.client.received_after(0, 1))[0]
    new = Newcomer(house)
    await take_in(alice, await new.screen.code(), first.message_id)
    await new.joined()
    laptop = await house.join("alice", "laptop")
    await handed(laptop)
    shown = [each.text for each in await laptop.client.received_after(0, 10)]
    assert shown == [each.text for each in await laptop.received(2)] == ["answer 1", "answer 2"]
    assert await texts(laptop, "bob") == await texts(alice, "bob")


async def test_a_code_that_nobody_shows(house: Household) -> None:
    alice, _ = await talk(house, 0)
    new = Newcomer(house)
    code = await new.screen.code()
    other = make_code(b"s" * 32, "alice", _Device(), new_secret())
    assert await alice.client.find_device(other) is None
    assert await alice.client.find_device(LinkCode(code.check, other.secret)) is None
    await new.killed()


class _Device:
    login_key = ed = curve = b"k" * 32


async def test_a_name_that_nobody_has_looks_like_waiting(house: Household) -> None:
    new = Newcomer(house)
    await new.screen.code()
    assert not new.joining.done()
    await new.killed()


async def test_killed_while_it_waits_it_goes_on_with_its_keys_and_a_new_code(
    house: Household,
) -> None:
    alice, _ = await talk(house, 1)
    first = Newcomer(house)
    code = await first.screen.code()
    await first.killed()
    second = Newcomer(house)
    again = await second.screen.code()
    assert again.secret != code.secret
    [place] = account_directories(first.folder)
    keys = (place / "device.key").read_bytes()
    digits = await take_in(alice, again)
    assert (await second.joined()).confirmation == digits
    assert (place / "device.key").read_bytes() == keys


async def test_who_gives_up_leaves_nothing_behind_on_either_device(house: Household) -> None:
    alice, _ = await talk(house, 1)
    first = Newcomer(house)
    code, offer = await first.offered_to(alice)
    await first.given_up()
    assert not list(first.folder.glob("accounts/*"))
    with pytest.raises(OfferGone):  # the user of the old device has just agreed
        await alice.client.take_in(offer, code, 0)
    assert len(await alice.client.devices(fresh=True)) == 1
    second = Newcomer(house)
    await take_in(alice, await second.screen.code())
    await second.joined()
    laptop = await house.start("alice", "laptop")
    await handed(laptop)
    assert await texts(laptop, "bob") == await texts(alice, "bob") != []


async def test_what_may_be_in_the_account_by_now_is_not_thrown_away(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = await talk(house, 1)
    first = Newcomer(house)
    code = await first.screen.code()

    async def last(*_: object) -> Any:
        await asyncio.sleep(3600)

    monkeypatch.setattr(linking, "_joined", last)  # it dies before it knows
    await take_in(alice, code)
    await first.given_up()
    monkeypatch.undo()
    monkeypatch.setattr(link_code, "SCRYPT_N", 2)
    second = Newcomer(house)
    await second.joined()
    assert len(await alice.client.devices(fresh=True)) == 2


async def test_an_ordinary_client_says_that_the_device_waits(house: Household) -> None:
    new = Newcomer(house)
    await new.screen.code()
    await new.killed()
    with pytest.raises(LinkUnfinished):
        await house.start("alice", "laptop")


async def test_an_account_that_is_here_is_not_linked(house: Household) -> None:
    await talk(house, 0)
    for client in house.clients:
        await client.aclose()
    new = Newcomer(house, "alice")
    with pytest.raises(AccountExists):
        await new.joined()


async def test_who_tried_the_name_first_can_still_be_linked(house: Household) -> None:
    alice, _ = await talk(house, 1)
    tried = await house.start("alice", "laptop")
    await tried.wait(LinkChanged, lambda event: event.state == "stopped")
    await tried.aclose()
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    await new.joined()
    laptop = await house.join("alice", "laptop")
    await handed(laptop)
    assert await texts(laptop, "bob") == await texts(alice, "bob")


async def test_the_connection_is_lost_while_it_waits(house: Household, relay: Relay) -> None:
    alice, _ = await talk(house, 1)
    new = Newcomer(house, port=relay.port)
    code = await new.screen.code()
    relay.cut()
    assert (await new.screen.code()).text == code.text
    assert new.screen.errors
    await take_in(alice, code)
    await new.joined()


async def test_a_device_that_was_added_unheard_is_told_so_when_it_comes_back(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = await talk(house, 1)
    new = Newcomer(house)
    await new.added_unheard(alice)
    again = Newcomer(house)
    await again.joined()
    assert again.screen.codes.empty()
    laptop = await house.join("alice", "laptop")
    await handed(laptop)
    assert await texts(laptop, "bob") == await texts(alice, "bob")


async def test_who_does_not_know_the_code_cannot_draw_it_into_a_chain(house: Household) -> None:
    alice, _ = await talk(house, 0)
    new = Newcomer(house)
    code, offer = await new.offered_to(alice)
    wrong = LinkCode(code.check, new_secret())
    for attempt in range(4):
        with pytest.raises(JimError):
            await alice.client.take_in(offer, wrong, 0)
        assert new.screen.refusals <= attempt + 1
        if attempt < 3:
            offer = await alice.client.find_device(await new.screen.code()) or offer
    with pytest.raises(ChainInvalid):
        await new.joined()
    assert new.screen.refusals == 3


async def born_again(
    house: Household, which: str, alice: Listening, laptop: Listening
) -> tuple[Listening, Listening]:
    """End one of the two or both, and start it again."""
    if which != "laptop":
        await alice.aclose()
    if which != "alice":
        await laptop.aclose()
    if which != "laptop":
        alice = await house.join("alice")
    if which != "alice":
        laptop = await house.join("alice", "laptop")
    return alice, laptop


@pytest.mark.parametrize("which", ["alice", "laptop", "both"])
async def test_dying_in_the_middle_of_the_history_loses_nothing(
    house: Household, which: str
) -> None:
    alice, bob = await talk(house, 1)
    for number in range(60):
        await alice.client.send("bob", f"long {number} " + "x" * 1500)
    assert await alice.client.flush(20)
    await bob.received(61)
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    await new.joined()
    laptop = await house.join("alice", "laptop")
    for _ in range(3):
        seen = len([each for each in laptop.events if isinstance(each, HistoryMoved)])
        await laptop.wait(HistoryMoved, count=seen + 1)
        alice, laptop = await born_again(house, which, alice, laptop)
        if await texts(laptop, "bob") == await texts(alice, "bob"):
            break
    async with asyncio.timeout(20):
        while await texts(laptop, "bob") != await texts(alice, "bob"):
            await asyncio.sleep(0.05)
    await laptop.aclose()
    await alice.aclose()
    assert complete(house.folder / "alice", new.folder)


async def test_a_message_overtakes_the_history(house: Household) -> None:
    alice, bob = await talk(house, 1)
    for number in range(60):
        await alice.client.send("bob", f"long {number} " + "x" * 1500)
    assert await alice.client.flush(20)
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    await new.joined()
    laptop = await house.join("alice", "laptop")
    await laptop.wait(HistoryMoved)
    sent = await alice.client.send("bob", "urgent")
    await alice.client.wait_stored(sent.message_id, 10)
    moved = [each for each in alice.events if isinstance(each, HistoryMoved)]
    assert not moved[-1].ended
    await handed(laptop)
    assert (await texts(laptop, "bob"))[-1] == "urgent"
    assert bob.events


async def test_a_stage_that_is_durable(house: Household) -> None:
    new = Newcomer(house)
    await new.screen.code()
    await new.killed()
    [place] = account_directories(new.folder)
    connection = open_database(place / "store.db", create=False)
    record = read_account(connection)
    connection.close()
    assert record is not None
    assert (record.stage, record.words, record.link) == (Stage.LINKING, None, None)


async def last_code(new: Newcomer) -> LinkCode:
    """Give the code that is on the screen, once it has changed for the last time."""
    code = await new.screen.code()
    while not new.screen.codes.empty():
        code = await new.screen.code()
    return code


async def test_when_nobody_types_the_code_it_offers_itself_anew(tmp_path: Path) -> None:
    async with serving(tmp_path / "hasty", msgspec.structs.replace(QUICK, linking_s=3)) as server:
        house = Household(server.port, tmp_path)
        alice = await house.join("alice")
        new = Newcomer(house)
        first = await new.screen.code()
        second = await new.screen.code()
        assert new.screen.expiries == 1
        assert first.text != second.text
        with pytest.raises(JimError):  # typed too late
            await take_in(alice, first)
        await take_in(alice, await last_code(new))
        await new.joined()
        await house.aclose()
