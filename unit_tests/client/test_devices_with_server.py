"""The devices of an account, with the real server: who is in, who is out, their names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client.events import (
    DevicesChanged,
    Fatal,
    LinkState,
    MissingNotice,
    OwnChanged,
)
from jim.errors import ConnectFailed, DeviceNameInvalid, DeviceUnknown, Revoked
from unit_tests.client.machines import add, faults, named, notices, words_of

if TYPE_CHECKING:
    from jim.protocol.messages import Link
    from unit_tests.client.household import Household
    from unit_tests.client.relay import Relay


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.node", lambda: "laptop.example.org")


async def test_a_device_calls_itself_after_its_machine_and_tells_the_others(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await house.join("alice")
    (only,) = await named(first, this="laptop")
    assert only.is_this
    monkeypatch.setattr("platform.node", lambda: "phone")
    second = await add(house, "alice", await words_of(first), "second")
    devices = await named(first, this="laptop", other="phone")
    await named(second, this="phone", other="laptop")
    assert [each.id for each in await second.client.devices()] == [each.id for each in devices]
    assert devices[0].since_ms < devices[1].since_ms
    await first.wait(MissingNotice)
    assert notices(first) == [("device_added", "alice")]
    assert notices(second) == []


async def test_a_new_name_reaches_the_other_device_and_nobody_else(house: Household) -> None:
    first, bob = await house.join("alice"), await house.join("bob")
    second = await add(house, "alice", await words_of(first), "second")
    await named(second, this="laptop", other="laptop")
    await named(first, this="laptop", other="laptop")
    this = next(each for each in await first.client.devices() if each.is_this)
    with pytest.raises(DeviceUnknown):
        await first.client.rename("laptop", "which?")
    with pytest.raises(DeviceNameInvalid):
        await first.client.rename(this.id, " \x1b ")
    renamed = await first.client.rename(this.id[:6].upper(), " work \n bench ")
    assert renamed.name == "work bench"
    await named(second, this="laptop", other="work bench")
    await second.client.rename("work bench", "attic")
    await named(first, this="attic", other="laptop")
    assert [event for event in first.events + bob.events if isinstance(event, OwnChanged)] == []
    assert await bob.client.conversations() == []
    assert await first.client.conversations() == []
    for home in ("alice", "second", "bob"):
        assert faults(house.folder / home) == []


async def test_a_device_that_is_removed_is_out_at_once_and_keeps_its_history(
    house: Household,
) -> None:
    first, bob = await house.join("alice"), await house.join("bob")
    second = await add(house, "alice", await words_of(first), "second")
    await bob.client.send("alice", "for both")
    await second.received(1)
    this = next(each for each in await second.client.devices() if each.is_this)
    assert (await first.client.revoke(this.id)).id == this.id
    (fatal,) = await second.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    assert [each.id for each in await first.client.devices()] != [this.id]
    assert len(await first.client.devices()) == 1
    with pytest.raises(Revoked):
        await second.client.send("bob", "goes nowhere")
    assert [m.text for m in await second.client.history("bob")] == ["for both"]
    # Nobody seals for it any more, and its owner's other devices go on as before.
    await bob.client.send("alice", "for one")
    assert [m.text for m in await first.received(2)] == ["for both", "for one"]
    await first.client.send("bob", "and back")
    assert [m.text for m in await bob.received(1)] == ["and back"]
    await second.aclose()
    again = await house.start("alice", "second")
    (fatal,) = await again.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    assert [m.text for m in await again.client.history("bob")] == ["for both"]
    assert ("device_removed", "alice") in notices(bob) or ("device_added", "alice") in notices(bob)
    assert notices(first) == [("device_added", "alice")]
    assert not [event for event in first.events if isinstance(event, DevicesChanged)]


async def test_what_happened_while_a_device_was_away_is_said_once(house: Household) -> None:
    first = await house.join("alice")
    words = await words_of(first)
    await named(first, this="laptop")  # it knows its own chain now: the rest of it is news
    await first.aclose()
    second = await add(house, "alice", words, "second")
    back = await house.start("alice")
    await back.wait(MissingNotice)
    await back.client.devices(fresh=True)
    assert notices(back) == [("device_added", "alice")]
    assert not [event for event in back.events if isinstance(event, DevicesChanged)]
    await back.aclose()
    # One that came and went meanwhile is gone, but it was there.
    third = await add(house, "alice", words, "third")
    this = next(each for each in await third.client.devices() if each.is_this)
    await second.client.revoke(this.id)
    again = await house.start("alice")
    await again.wait(MissingNotice, count=3)
    # What its name came from is out by now: that may be told fourth.
    assert [code for code, _ in notices(again)][:3] == [
        "device_added",
        "device_added",
        "device_removed",
    ]


async def test_a_removed_device_comes_back_as_another_one_with_its_history(
    house: Household,
) -> None:
    first, bob = await house.join("alice"), await house.join("bob")
    words = await words_of(first)
    second = await add(house, "alice", words, "second")
    await second.client.send("bob", "from the second")
    assert await second.client.flush(20)
    this = next(each for each in await second.client.devices() if each.is_this)
    await first.client.revoke(this.id)
    await second.wait(Fatal)
    await second.aclose()
    back = await add(house, "alice", words, "second")
    await bob.client.send("alice", "welcome back")
    assert [m.text for m in await back.received(1)] == ["welcome back"]
    await back.client.send("bob", "thanks")
    assert [m.text for m in await bob.received(2)] == ["from the second", "thanks"]
    own = next(each for each in await back.client.devices() if each.is_this)
    assert own.id != this.id
    texts = [m.text for m in await back.client.history("bob")]
    assert texts == ["from the second", "welcome back", "thanks"]
    await house.aclose()
    for home in ("alice", "second", "bob"):
        assert faults(house.folder / home) == []


async def test_a_device_may_take_itself_out(house: Household) -> None:
    first = await house.join("alice")
    await named(first, this="laptop")
    second = await add(house, "alice", await words_of(first), "second")
    this = next(each for each in await second.client.devices() if each.is_this)
    assert (await second.client.revoke(this.id)).is_this
    (fatal,) = await second.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    await first.wait(MissingNotice, count=2)
    assert notices(first)[:2] == [("device_added", "alice"), ("device_removed", "alice")]


async def test_shown_out_before_the_answer_it_is_out_all_the_same(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await house.join("alice")
    second = await add(house, "alice", await words_of(first), "second")
    devices = await second.client.devices()
    own = (await second.client._background.courier()).own
    extend = own._extend

    async def shown_out(link: Link) -> None:
        await extend(link)
        raise Revoked

    monkeypatch.setattr(own, "_extend", shown_out)
    with pytest.raises(Revoked):
        await second.client.revoke(next(each.id for each in devices if not each.is_this))
    this = next(each.id for each in devices if each.is_this)
    assert (await second.client.revoke(this)).is_this


async def test_removing_waits_for_nothing_without_a_connection(
    house: Household, relay: Relay
) -> None:
    first = await house.join("alice", port=relay.port)
    with pytest.raises(DeviceUnknown):
        await first.client.revoke("0")  # no digit of an id
    (this,) = await first.client.devices()
    relay.target_port = None
    relay.cut()
    async with asyncio.timeout(20):
        while first.client.state is LinkState.ONLINE:
            await asyncio.sleep(0.01)
    with pytest.raises(ConnectFailed):
        await first.client.revoke(this.id)
    assert [each.id for each in await first.client.devices()] == [this.id]
