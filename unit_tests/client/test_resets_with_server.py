"""Accounts that begin anew, with the real server: whoever dies on the way, there is one end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client import Address, Client, renewal
from jim.client.account_store import AccountStore
from jim.client.accounts import Account
from jim.client.encryption.contacts import Trust
from jim.client.events import (
    Fatal,
    LinkChanged,
    LinkState,
    MissingNotice,
    Registered,
)
from jim.errors import AuthFailed, ConnectFailed, Revoked
from unit_tests.client.listening import Listening
from unit_tests.client.machines import add, faults, notices, reset, started, words_of

if TYPE_CHECKING:
    from jim.client.account_record import AccountRecord
    from jim.protocol.messages import Link
    from unit_tests.client.household import Household
    from unit_tests.client.relay import Relay
    from unit_tests.support.serving import Serving


async def test_a_reset_puts_every_other_device_out_and_gives_new_words(house: Household) -> None:
    first, bob = await house.join("alice"), await house.join("bob")
    words = await words_of(first)
    await bob.client.send("alice", "before")
    await first.received(1)
    await first.client.send("bob", "before, too")
    await bob.received(1)
    anew = await started(house, reset(house, "alice", words, "new machine"))
    (told,) = await anew.wait(Registered)
    new_words = " ".join(told.words or ())
    assert len(new_words.split()) == 12
    assert new_words != words
    (fatal,) = await first.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    (only,) = await (await anew.online()).client.devices()
    assert only.is_this
    await bob.wait(MissingNotice, lambda event: event.code == "keys_changed")
    await bob.client.send("alice", "after")
    assert [m.text for m in await anew.received(1)] == ["after"]
    await anew.client.send("bob", "it is me")
    assert [m.text for m in await bob.received(2)] == ["before, too", "it is me"]
    assert notices(anew) == []
    address = Address("127.0.0.1", house.port)
    old = await started(
        house, Client.recover(address, "alice", words, data_dir=house.folder / "thief")
    )
    (fatal,) = await old.wait(Fatal)
    assert isinstance(fatal.error, AuthFailed)
    third = await add(house, "alice", new_words, "third")
    assert len(await third.client.devices(fresh=True)) == 2


async def test_a_reset_on_a_machine_of_the_account_keeps_its_messages(house: Household) -> None:
    first, bob = await house.join("alice"), await house.join("bob")
    second = await add(house, "alice", words := await words_of(first), "second")
    await bob.client.send("alice", "before")
    await first.received(1)
    await first.client.send("bob", "mine")
    await bob.received(1)
    await first.aclose()
    anew = await started(house, reset(house, "alice", words, "alice"))
    await anew.wait(Registered, lambda event: event.words is not None)
    await second.wait(Fatal)
    await bob.wait(MissingNotice, lambda event: event.code == "keys_changed")
    await bob.client.send("alice", "after")
    await anew.received(1)
    await anew.client.send("bob", "mine, too")
    await bob.received(2)
    texts = [m.text for m in await anew.client.history("bob")]
    assert texts == ["before", "mine", "after", "mine, too"]
    await house.aclose()
    for home in ("alice", "bob"):
        assert faults(house.folder / home) == []


async def test_whoever_has_verified_somebody_sends_nothing_after_a_reset(house: Household) -> None:
    first, bob = await house.join("alice"), await house.join("bob")
    await bob.client.send("alice", "before")
    await first.received(1)
    await trust(bob, "alice", Trust.VERIFIED)
    anew = await started(house, reset(house, "alice", await words_of(first), "new machine"))
    await bob.wait(MissingNotice, lambda event: event.code == "verified_changed")
    refused = await bob.client.send("alice", "for the old keys only")
    settled = await bob.client.wait_stored(refused.message_id, 20)
    assert settled.error_code == "contact_changed"
    await trust(bob, "alice", Trust.FIRST)
    await bob.client.send("alice", "all the same")
    assert [m.text for m in await anew.received(1)] == ["all the same"]


async def trust(listening: Listening, name: str, trust: Trust) -> None:
    """What the user would say."""
    account = await listening.client._background.account()
    assert await account.writer.write(lambda store: store._contacts.trust(name, trust))


def link_of(listening: Listening) -> Link | None:
    """What is durable of a reset that has begun."""
    account = listening.client._background._account
    return None if account is None else account.record.link


@pytest.mark.parametrize("again", ["reset", "recover", "talk"])
async def test_a_reset_whose_answer_was_lost_ends_with_the_words_that_it_began_with(
    house: Household, relay: Relay, again: str
) -> None:
    first = await house.join("alice")
    words = await words_of(first)
    listening = Listening(reset(house, "alice", words, "new machine", relay.port))
    house.clients.append(listening)

    def deafen() -> None:
        # The next thing that the server says is that it has the link.
        relay.deaf = relay.deaf or link_of(listening) is not None

    relay.on_answer = deafen
    await listening.client.start()
    await first.wait(Fatal)
    await listening.aclose()
    assert not [event for event in listening.events if isinstance(event, Registered)]
    relay.deaf, relay.on_answer = False, lambda: None
    if again == "reset":
        back = await started(house, reset(house, "alice", words, "new machine", relay.port))
    elif again == "recover":
        address = Address("127.0.0.1", relay.port)
        folder = house.folder / "new machine"
        client = Client.recover(address, "alice", words, data_dir=folder)
        back = await started(house, client)
    else:
        back = await house.start("alice", "new machine", port=relay.port)
    new_words = await words_of(back)
    await back.online()
    assert len(await back.client.devices(fresh=True)) == 1
    third = await add(house, "alice", new_words, "third")
    assert len(await third.client.devices(fresh=True)) == 2


async def test_a_reset_whose_link_was_lost_sends_the_same_one_again(
    house: Household, relay: Relay, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = await words_of(await house.join("alice"))
    made: list[Link] = []
    save = Account.save

    async def save_and_cut(account: Account, record: AccountRecord) -> None:
        await save(account, record)
        if record.link is not None:
            made.append(record.link)
            relay.cut()

    monkeypatch.setattr(Account, "save", save_and_cut)
    anew = await started(house, reset(house, "alice", words, "new machine", relay.port))
    await words_of(anew)
    assert relay.connections > 1
    account = await server.store.find_account("alice")
    assert account is not None
    assert [account.links[-1]] == made


async def test_whoever_thinks_better_of_a_reset_that_was_never_sent_recovers_instead(
    house: Household, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await house.join("alice")
    words = await words_of(first)
    cut = asyncio.Event()

    async def cut_before(*_: object) -> None:
        cut.set()
        raise ConnectFailed("lost before anything was sent")

    with monkeypatch.context() as patch:
        patch.setattr(Account, "save", cut_before)
        anew = await started(house, reset(house, "alice", words, "new machine", relay.port))
        await asyncio.wait_for(cut.wait(), 20)
        await anew.aclose()
    back = await add(house, "alice", words, "new machine")
    (told,) = await back.wait(Registered)
    assert told.words is None
    assert len(await back.client.devices(fresh=True)) == 2
    assert first.client.state is LinkState.ONLINE


@pytest.mark.parametrize("before", [True, False])
async def test_killed_while_the_device_is_renewed_the_account_has_one_key(
    house: Household, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """The new key is there, and the store belongs to it or (`before`) not yet."""
    first = await house.join("alice")
    words = await words_of(first)
    await first.aclose()

    class Killed(Exception):
        pass

    def kill(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if before:
            patch.setattr(AccountStore, "become", kill)
        else:
            patch.setattr(renewal, "take", kill)
        dying = await started(house, reset(house, "alice", words, "alice"))
        await dying.wait(Fatal)
        await dying.aclose()
    keys = list((house.folder / "alice").rglob("device.key*"))
    assert len(keys) == 2
    anew = await started(house, reset(house, "alice", words, "alice"))
    await words_of(anew)
    await anew.online()
    assert len(list((house.folder / "alice").rglob("device.key*"))) == 1
    assert len(await anew.client.devices(fresh=True)) == 1


@pytest.mark.parametrize("again", ["reset", "talk"])
async def test_new_words_that_nobody_has_seen_are_never_replaced(
    house: Household, again: str
) -> None:
    words = await words_of(await house.join("alice"))
    anew = await (await started(house, reset(house, "alice", words, "new machine"))).online()
    (told,) = await anew.wait(Registered)
    await anew.aclose()
    if again == "reset":
        back = await started(house, reset(house, "alice", words, "new machine"))
    else:
        back = await house.start("alice", "new machine")
    assert await words_of(back) == " ".join(told.words or ())
    await back.online()
    assert len(await back.client.devices(fresh=True)) == 1


@pytest.mark.parametrize("how", ["wrong words", "no server"])
async def test_a_reset_that_does_not_come_about_leaves_the_device_what_it_was(
    house: Household, relay: Relay, how: str
) -> None:
    first, bob = await house.join("alice", port=relay.port), await house.join("bob")
    words, others = await words_of(first), await words_of(bob)
    await first.aclose()
    target, relay.target_port = relay.target_port, None if how == "no server" else house.port
    given = others if how == "wrong words" else words
    vain = await started(house, reset(house, "alice", given, "alice", relay.port))
    if how == "wrong words":
        (fatal,) = await vain.wait(Fatal)
        assert isinstance(fatal.error, AuthFailed)
    else:
        await vain.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    await vain.aclose()
    relay.target_port = target
    again = await house.join("alice", port=relay.port)
    await again.client.send("bob", "still me")
    assert [m.text for m in await bob.received(1)] == ["still me"]
    assert len(list((house.folder / "alice").rglob("device.key*"))) == 1


async def test_a_lost_connection_does_not_reset_an_account_once_more(
    house: Household, relay: Relay
) -> None:
    words = await words_of(await house.join("alice"))
    anew = await started(house, reset(house, "alice", words, "new machine", relay.port))
    await words_of(anew)
    await anew.online()
    relay.cut()
    await anew.online(2)
