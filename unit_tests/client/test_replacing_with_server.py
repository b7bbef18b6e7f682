"""Devices that are replaced while something else goes on with them, with the real server."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from jim.client.accounts import Account
from jim.client.events import ROTATED, Fatal, HistoryMoved, MissingNotice, OwnChanged, Registered
from jim.client.rotated import Rotation
from jim.crypto import link_code
from unit_tests.client.machines import add, chain_of, device_of, reset, started, words_of
from unit_tests.client.newcomers import Newcomer, complete, dies, handed, take_in, talk, texts

if TYPE_CHECKING:
    from unit_tests.client.household import Household
    from unit_tests.client.listening import Listening
    from unit_tests.support.serving import Serving


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_code, "SCRYPT_N", 2)


async def to_be_replaced(listening: Listening) -> None:
    """Let a device be replaced with its next login, as that of a restored backup is."""
    account = await listening.client._background.account()
    await account.writer.write(lambda store: store.keep_rotation(Rotation(why="backup")))
    await listening.aclose()


async def test_a_reset_where_a_new_device_was_added_unheard_puts_the_others_out(
    house: Household, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = await talk(house, 1)
    words = await words_of(alice)
    new = Newcomer(house)
    await new.added_unheard(alice)
    anew = await started(house, reset(house, "alice", words, "laptop"))
    (told,) = await anew.wait(Registered, lambda event: event.words is not None)
    await anew.online()
    assert set((await chain_of(server, "alice")).devices) == {await device_of(anew)}
    await alice.wait(Fatal)
    third = await add(house, "alice", " ".join(told.words or ()), "third")
    assert len(await third.client.devices(fresh=True)) == 2


async def test_a_rotation_that_was_cut_off_leaves_no_device_behind_when_the_old_one_is_removed(
    house: Household, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await house.join("alice")
    words = await words_of(alice)
    second = await add(house, "alice", words, "second")
    old = await device_of(second)
    await to_be_replaced(second)
    with monkeypatch.context() as patch:
        patch.setattr(Account, "note_rotation", dies)  # the new device is in the chain by then
        killed = await house.start("alice", "second")
        await killed.wait(Fatal)
        await killed.aclose()
    assert len((await chain_of(server, "alice")).devices) == 3
    await alice.client.revoke(old)
    out = await house.start("alice", "second")
    await out.wait(Fatal)
    await out.aclose()
    back = await add(house, "alice", words, "second")
    state = await chain_of(server, "alice")
    assert set(state.devices) == {await device_of(alice), await device_of(back)}
    await alice.client.send("alice", "a note")
    await back.client.flush(10)
    assert [each.is_this for each in await back.client.devices(fresh=True)].count(True) == 1


async def test_a_new_device_that_somebody_takes_out_half_way_is_not_the_end(
    house: Household, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner who sees a device that they do not know removes it, as they should."""
    alice = await house.join("alice")
    second = await add(house, "alice", await words_of(alice), "second")
    old = await device_of(second)
    await to_be_replaced(second)
    with monkeypatch.context() as patch:
        patch.setattr(Account, "note_rotation", dies)
        killed = await house.start("alice", "second")
        await killed.wait(Fatal)
        await killed.aclose()
    (unknown,) = set((await chain_of(server, "alice")).devices) - {old, await device_of(alice)}
    await alice.client.revoke(unknown)
    back = await house.join("alice", "second")
    state = await chain_of(server, "alice")
    assert set(state.devices) == {await device_of(alice), await device_of(back)}
    assert state.revoked == {old, unknown}
    await alice.client.send("alice", "a note")
    await back.wait(OwnChanged, lambda event: event.message.text == "a note")


async def test_who_takes_over_after_a_death_takes_the_key_that_the_store_belongs_to(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    await to_be_replaced(alice)
    with monkeypatch.context() as patch:
        patch.setattr(Account, "_take_next_key", dies)
        owner = await house.start("alice")
        helper = await house.start("alice", share=True)
        await owner.wait(Fatal)
    await owner.aclose()
    await helper.online()
    await helper.client.send("bob", "after all")
    await bob.received(1)
    assert len(list((house.folder / "alice").rglob("device.key*"))) == 1


@pytest.mark.parametrize("which", ["alice", "laptop"])
async def test_a_history_on_its_way_goes_on_when_one_of_the_two_becomes_another_device(
    house: Household, which: str
) -> None:
    alice, bob = await talk(house, 1)
    for number in range(60):
        await alice.client.send("bob", f"long {number} " + "x" * 1500)
    await bob.received(61)
    new = Newcomer(house)
    await take_in(alice, await new.screen.code())
    await new.joined()
    laptop = await house.join("alice", "laptop")
    await laptop.client.rename((await device_of(laptop)), "the new one")
    await laptop.wait(HistoryMoved, count=2)
    both = {"alice": alice, "laptop": laptop}
    before = await device_of(both[which])
    await to_be_replaced(both[which])
    both[which] = await house.join("alice", which)
    assert await device_of(both[which]) != before
    moved = await handed(both["laptop"])
    assert moved.done == 62
    assert await texts(both["laptop"], "bob") == await texts(both["alice"], "bob")
    assert len(await texts(both["laptop"], "bob")) == 62
    if which == "laptop":
        told = [each for each in alice.events if isinstance(each, HistoryMoved) and each.is_gone]
        assert len(told) == 1
    this = next(each for each in await both["laptop"].client.devices() if each.is_this)
    assert this.name == "the new one"
    for each in both.values():
        await each.aclose()
    assert complete(house.folder / "alice", new.folder)


async def test_those_are_asked_too_of_whom_the_older_copy_has_nothing(
    house: Household,
) -> None:
    bob, alice = await house.join("bob"), await house.join("alice")
    await alice.client.send("bob", "before")
    await bob.received(1)
    words = await words_of(alice)
    await alice.aclose()
    shutil.copytree(house.folder / "alice", house.folder / "copy")
    again = await house.join("alice")
    await bob.client.send("alice", "the first that ever came")
    await again.received(1)
    second = await add(house, "alice", words, "second")
    await second.client.send("bob", "of a device that the copy does not know")
    await again.wait(OwnChanged, lambda event: "does not know" in event.message.text)
    await again.aclose()
    copy = await house.start("alice", "copy")
    await copy.wait(MissingNotice, lambda event: event.code == ROTATED)
    assert [each.text for each in await copy.received(1)] == ["the first that ever came"]
    await copy.wait(OwnChanged, lambda event: "does not know" in event.message.text)
