"""Two clients on a real server: numbers, emoji, changed keys, and texts that are not sealed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client.events import (
    ComparisonChanged,
    ComparisonStage,
    ContactInfo,
    LinkChanged,
    LinkState,
)
from jim.errors import ConnectFailed, NameInvalid, OwnAccount, RecipientUnknown

if TYPE_CHECKING:
    from unit_tests.client.household import Household
    from unit_tests.client.listening import Listening
    from unit_tests.support.serving import Serving


async def stage(who: Listening, wanted: ComparisonStage) -> ComparisonChanged:
    found = await who.wait(ComparisonChanged, lambda event: event.stage is wanted)
    return found[-1]


async def test_the_number_is_the_same_for_both_and_survives(house: Household) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    assert await alice.client.contact("Bob") == ContactInfo(name="bob")
    number = await alice.client.safety_number("Bob")
    assert number == await bob.client.safety_number("alice")
    assert not await alice.client.mark_verified("bob", number[::-1])
    assert await alice.client.mark_verified("BOB", number)
    await alice.aclose()
    back = await house.join("alice")
    known = ContactInfo(name="bob", known=True, devices=1, verified=True)
    assert await back.client.contact("bob") == known


async def test_emoji_over_sealed_messages(house: Household) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    await alice.client.compare_emoji("bob")
    await stage(bob, ComparisonStage.ASKED)
    await bob.client.compare_emoji("alice")
    ours = await stage(alice, ComparisonStage.SHOWN)
    theirs = await stage(bob, ComparisonStage.SHOWN)
    assert ours.emoji == theirs.emoji
    assert len(ours.emoji) == 7
    assert await alice.client.comparison("bob") == ours
    assert await alice.client.answer_emoji("bob", same=True)
    assert await bob.client.answer_emoji("alice", same=True)
    await stage(alice, ComparisonStage.VERIFIED)
    await stage(bob, ComparisonStage.VERIFIED)
    assert (await alice.client.contact("bob")).verified
    assert (await bob.client.contact("alice")).verified
    assert await alice.client.comparison("bob") is None
    assert await alice.client.conversations() == []
    assert await alice.client.flush(10)
    await alice.client.send("bob", "seen by both")
    assert (await bob.received(1))[0].text == "seen by both"


async def test_different_emoji(house: Household) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    await asyncio.gather(alice.client.compare_emoji("bob"), bob.client.compare_emoji("alice"))
    await stage(alice, ComparisonStage.SHOWN)
    await stage(bob, ComparisonStage.SHOWN)
    assert await alice.client.answer_emoji("bob", same=False)
    assert (await stage(alice, ComparisonStage.FAILED)).reason == "differ"
    assert (await stage(bob, ComparisonStage.FAILED)).reason == "cancelled"
    assert not (await alice.client.contact("bob")).verified
    assert not await alice.client.answer_emoji("bob", same=True)


async def test_who_cannot_be_compared_with(house: Household, server: Serving) -> None:
    alice = await house.join("alice")
    for ask in (alice.client.safety_number, alice.client.compare_emoji):
        with pytest.raises(OwnAccount):
            await ask("Alice")
        with pytest.raises(RecipientUnknown):
            await ask("nemo")
        with pytest.raises(NameInvalid):
            await ask("no name")
    with pytest.raises(OwnAccount):
        await alice.client.allow_plain("alice", allowed=True)
    assert not await alice.client.accept_changed("alice")
    assert await alice.client.notices("alice") == []
    await server.service.drain()
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    with pytest.raises(ConnectFailed):
        await alice.client.compare_emoji("bob")
    with pytest.raises(ConnectFailed):
        await alice.client.safety_number("bob")


async def test_texts_that_are_not_sealed(house: Household, server: Serving) -> None:
    alice = await house.join("alice")
    wire, _old = await server.join("old")  # a client that cannot encrypt
    refused = await alice.client.send("old", "secret")
    assert (await alice.client.wait_stored(refused.message_id, 10)).error_code == "no_keys"
    await wire.say(1, "alice", "canary")
    [got] = await alice.received(1)
    assert (got.plain, got.withheld, got.text) == (True, True, "")
    [revealed] = await alice.client.allow_plain("old", allowed=True)
    assert revealed.text == "canary"
    sent = await alice.client.resend(refused.message_id)
    stored = await alice.client.wait_stored(sent.message_id, 10)
    assert (stored.state, stored.plain) == ("stored", True)
    await wire.say(2, "alice", "allowed")
    assert (await alice.received(2))[1].text == "allowed"
    assert [each.text for each in await alice.client.history("old")] == [
        *("secret", "canary", "secret", "allowed")
    ]
