"""The devices of an account, with the real server: who is in, who is out, what they are called."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client import Address, Client, renewal
from jim.client.accounts import Account, AccountStore
from jim.client.encryption.contacts import Trust
from jim.client.events import (
    DevicesChanged,
    Fatal,
    LinkState,
    MissingNotice,
    OwnChanged,
    Registered,
)
from jim.client.verify_store import verify_data_directory
from jim.errors import (
    AuthFailed,
    BadRequest,
    ConnectFailed,
    DeviceUnknown,
    Revoked,
)
from unit_tests.client.listening import Listening

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.account_record import AccountRecord
    from jim.client.devices import Device
    from jim.protocol.messages import Link
    from unit_tests.client.household import Household
    from unit_tests.client.relay import Relay
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
        finding
        for report in reports.values()
        for finding in report.findings
        if finding.is_fault
    ]


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
    with pytest.raises(BadRequest):
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
    second = await add(house, "alice", await words_of(first), "second")
    this = next(each for each in await second.client.devices() if each.is_this)
    assert (await second.client.revoke(this.id)).is_this
    (fatal,) = await second.wait(Fatal)
    assert isinstance(fatal.error, Revoked)
    await first.wait(MissingNotice, count=2)
    assert notices(first) == [("device_added", "alice"), ("device_removed", "alice")]


async def test_removing_waits_for_nothing_without_a_connection(
    house: Household, relay: Relay
) -> None:
    first = await house.join("alice", port=relay.port)
    with pytest.raises(DeviceUnknown):
        await first.client.revoke("7")
    (this,) = await first.client.devices()
    relay.target_port = None
    relay.cut()
    async with asyncio.timeout(20):
        while first.client.state is LinkState.ONLINE:
            await asyncio.sleep(0.01)
    with pytest.raises(ConnectFailed):
        await first.client.revoke(this.id)
    assert [each.id for each in await first.client.devices()] == [this.id]


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


async def test_whoever_thinks_better_of_a_reset_that_never_arrived_recovers_instead(
    house: Household, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await house.join("alice")
    words = await words_of(first)
    save, cut = Account.save, asyncio.Event()

    async def save_and_cut(account: Account, record: AccountRecord) -> None:
        await save(account, record)
        relay.target_port = None
        relay.cut()
        cut.set()

    with monkeypatch.context() as patch:
        patch.setattr(Account, "save", save_and_cut)
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
            patch.setattr(AccountStore, "begin_again", kill)
        else:
            settle = renewal.settle
            calls = iter((settle, kill))  # the first one is for what was left before
            patch.setattr(renewal, "settle", lambda *given: next(calls)(*given))
        client = reset(house, "alice", words, "alice")
        with pytest.raises(Killed):
            await client.start()
        await client.aclose()
    keys = list((house.folder / "alice").rglob("device.key*"))
    assert len(keys) == 2
    anew = await started(house, reset(house, "alice", words, "alice"))
    await words_of(anew)
    await anew.online()
    assert len(list((house.folder / "alice").rglob("device.key*"))) == 1
    assert len(await anew.client.devices(fresh=True)) == 1
