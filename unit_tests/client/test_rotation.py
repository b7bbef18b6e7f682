"""A store that was put back to an older copy, or has no keys, goes on as a new device."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from jim.client import rotation, sync
from jim.client.accounts import Account
from jim.client.events import (
    ROTATED,
    UNKNOWN_OUTCOME,
    Fatal,
    LinkChanged,
    LinkState,
    MissingNotice,
)
from jim.client.key_opener import KeyOpener
from jim.client.link import Link
from jim.client.local_accounts import KEY_FILE
from jim.client.rotated import Rotation, write_rotation
from jim.client.schema import open_database
from jim.client.verify_store import verify_data_directory
from jim.crypto import key_files, links
from jim.crypto.keys import NO_KEYS, device_id
from jim.errors import (
    ChainInvalid,
    ChainMoved,
    ConnectFailed,
    KeyFileError,
    Replaced,
    Revoked,
    WireError,
)
from jim.protocol import messages as m
from unit_tests.client.machines import chain_of, device_of

if TYPE_CHECKING:
    from pathlib import Path

    from unit_tests.client.household import Household
    from unit_tests.client.listening import Listening
    from unit_tests.client.relay import Relay
    from unit_tests.support.serving import Serving


async def rotated(listening: Listening) -> None:
    await listening.wait(MissingNotice, lambda event: event.code == ROTATED)
    await listening.online()


def texts(messages: list[Any]) -> list[str]:
    return [message.text for message in messages]


async def copied_while_others_write(house: Household) -> tuple[Listening, str]:
    """Make a copy of alice's store, let her go on, then close: the copy is older than the server.

    Gives bob, and the device that both copies are.
    """
    bob, alice = await house.join("bob"), await house.join("alice")
    await alice.client.send("bob", "before")
    await bob.client.send("alice", "hello")
    await bob.client.flush(10)
    await alice.received(1)
    await bob.received(1)
    device = await device_of(alice)
    await alice.aclose()
    shutil.copytree(house.folder / "alice", house.folder / "copy")
    again = await house.join("alice")
    await again.client.send("bob", "after the copy")
    await bob.received(2)
    await bob.client.send("alice", "an answer to it")
    await again.received(1)
    assert await again.client.flush(10)
    await again.aclose()
    return bob, device


async def test_an_older_copy_goes_on_as_a_new_device_and_gets_what_the_other_life_had(
    house: Household, server: Serving
) -> None:
    bob, before = await copied_while_others_write(house)
    alice = await house.start("alice", "copy")
    await rotated(alice)
    after = await device_of(alice)
    state = await chain_of(server, "alice")
    assert after != before
    assert set(state.devices) == {after} == set(state.keys)
    assert state.revoked == {before}
    assert texts(await alice.received(1)) == ["an answer to it"], "asked for again"
    await alice.client.send("bob", "from the new device")
    await bob.client.send("alice", "to the new device")
    assert texts(await bob.received(3)) == ["before", "after the copy", "from the new device"]
    assert texts(await alice.received(2))[1] == "to the new device"
    assert len(list((house.folder / "copy").rglob("device.key*"))) == 1
    await alice.aclose()
    (report,) = verify_data_directory(house.folder / "copy").values()
    assert report.is_complete, report.findings


async def test_a_copy_that_only_read_less_goes_on_as_a_new_device(
    house: Household, server: Serving
) -> None:
    bob, alice = await house.join("bob"), await house.join("alice")
    before = await device_of(alice)
    await alice.aclose()
    shutil.copytree(house.folder / "alice", house.folder / "copy")
    again = await house.join("alice")
    await bob.client.send("alice", "read by the other life")
    await again.received(1)
    await again.aclose()
    copy = await house.start("alice", "copy")
    await rotated(copy)
    noted = [event.code for event in copy.events if isinstance(event, MissingNotice)]
    assert noted == [ROTATED]
    assert (await chain_of(server, "alice")).revoked == {before}


async def test_what_may_have_been_sent_fails_and_what_was_not_goes_out_from_the_new_device(
    house: Household, relay: Relay
) -> None:
    bob, alice = await house.join("bob"), await house.join("alice", port=relay.port)
    await alice.client.send("bob", "first")
    await alice.client.flush(10)
    target, relay.target_port = relay.target_port, None
    relay.cut()
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    await alice.client.send("bob", "waits in the copy")
    await alice.aclose()
    shutil.copytree(house.folder / "alice", house.folder / "copy")
    relay.target_port = target
    again = await house.join("alice", port=relay.port)
    await again.client.flush(10)
    await again.aclose()
    relay.target_port = None
    copy = await house.start("alice", "copy", port=relay.port)
    fresh = await copy.client.send("bob", "written after the copy")
    relay.target_port = target
    copy.client.retry_now()
    await rotated(copy)
    assert (await copy.client.wait_stored(fresh.message_id, 10)).device == await device_of(copy)
    wanted = ["first", "waits in the copy", "written after the copy"]
    assert texts(await bob.received(3)) == wanted
    codes = {each.text: each.error_code for each in await copy.client.history("bob")}
    assert codes == dict(zip(wanted, (None, UNKNOWN_OUTCOME, None), strict=True))


async def test_a_noted_replacement_happens_although_everything_matches(
    house: Household, server: Serving
) -> None:
    bob, alice = await house.join("bob"), await house.join("alice")
    await alice.client.send("bob", "one")
    await alice.client.flush(10)
    await alice.aclose()
    shutil.copytree(house.folder / "alice", house.folder / "copy")
    mark(house.folder / "copy")
    other = await house.join("alice")
    copy = await house.start("alice", "copy")
    await rotated(copy)
    (fatal,) = await other.wait(Fatal)
    assert isinstance(fatal.error, (Replaced, Revoked)), "the other copy is out"
    await copy.client.send("bob", "two")
    assert texts(await bob.received(2)) == ["one", "two"]
    assert len((await chain_of(server, "alice")).devices) == 1


class Killed(Exception):
    """The process ends here."""


def dies(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    """Let a step end the client, before or after it was done."""
    original = getattr(owner, name)

    async def step(*arguments: Any, **options: Any) -> Any:
        if after:
            await original(*arguments, **options)
        raise Killed

    monkeypatch.setattr(owner, name, step)


STEPS = [
    (Account, "next_device"),
    (Account, "note_rotation"),
    (rotation, "finish"),
    (Account, "become_next"),
    (Account, "_take_next_key"),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name"), STEPS)
async def test_whoever_is_interrupted_goes_on_where_it_stopped(
    house: Household, server: Serving, *, owner: Any, name: str, after: bool
) -> None:
    bob, before = await copied_while_others_write(house)
    with pytest.MonkeyPatch.context() as patch:
        dies(patch, owner, name, after=after)
        killed = await house.start("alice", "copy")
        (fatal,) = await killed.wait(Fatal)
        assert not isinstance(fatal.error, WireError)
        await killed.aclose()
    alice = await house.join("alice", "copy")
    await alice.wait(MissingNotice, lambda event: event.code == ROTATED)
    after_all = await device_of(alice)
    state = await chain_of(server, "alice")
    assert set(state.devices) == {after_all}
    assert state.revoked == {before}, "no third device was made"
    await alice.client.send("bob", "still here")
    assert texts(await bob.received(3))[2] == "still here"
    assert texts(await alice.received(1)) == ["an answer to it"]


async def test_a_lost_answer_to_the_revoking_does_no_harm(
    house: Household, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, before = await copied_while_others_write(house)
    original = Link.ask
    lost: list[m.ServerMessage] = []

    async def ask(link: Link, message: m.ClientMessage) -> m.ServerMessage:
        reply = await original(link, message)
        if isinstance(message, m.Extend) and message.link.op == m.REVOKE and not lost:
            lost.append(reply)
            raise ConnectFailed
        return reply

    monkeypatch.setattr(Link, "ask", ask)
    alice = await house.start("alice", "copy")
    await rotated(alice)
    assert lost
    assert (await chain_of(server, "alice")).revoked == {before}
    await alice.client.send("bob", "still here")
    assert texts(await bob.received(3))[2] == "still here"


async def test_another_device_that_is_quicker_with_a_link_only_costs_a_second_try(
    house: Household, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, before = await copied_while_others_write(house)
    original = Link.ask
    refused: list[m.Extend] = []

    async def ask(link: Link, message: m.ClientMessage) -> m.ServerMessage:
        if isinstance(message, m.Extend) and len(refused) < 2:
            refused.append(message)
            raise ChainMoved(expected=7)
        return await original(link, message)

    monkeypatch.setattr(Link, "ask", ask)
    alice = await house.start("alice", "copy")
    await rotated(alice)
    assert len(refused) == 2
    assert (await chain_of(server, "alice")).revoked == {before}


async def test_a_device_of_an_earlier_version_becomes_one_with_keys(
    house: Household, server: Serving
) -> None:
    bob = await house.join("bob")
    with pytest.MonkeyPatch.context() as patch:
        as_before_encryption(patch)
        old = await house.join("alice")
        before = await device_of(old)
        assert not (await chain_of(server, "alice")).keys
        await old.aclose()
    with contextlib.closing(open_database(store_of(house.folder / "alice"), create=False)) as sql:
        sql.execute("DELETE FROM vault")
    alice = await house.start("alice")
    await rotated(alice)
    state = await chain_of(server, "alice")
    assert set(state.keys) == {await device_of(alice)}
    assert state.revoked == {before}
    sent = await alice.client.send("bob", "sealed now")
    assert not (await alice.client.wait_stored(sent.message_id, 10)).plain
    assert texts(await bob.received(1)) == ["sealed now"]


@pytest.mark.usefixtures("cheap_passphrases")
async def test_the_key_of_the_new_device_is_sealed_like_the_one_before(house: Household) -> None:
    _, before = await copied_while_others_write(house)
    path = store_of(house.folder / "copy").with_name(KEY_FILE)
    key_files.protect(path, "open sesame")
    locked = KeyOpener()
    with pytest.raises(KeyFileError) as caught:
        await house.start("alice", "copy", opener=locked)
    assert caught.value.fields["reason"] == "locked"
    opener = KeyOpener([lambda _: iter(["wrong", "open sesame"])])
    alice = await house.start("alice", "copy", opener=opener)
    await rotated(alice)
    public, is_sealed = key_files.public_key(path)
    assert is_sealed
    assert device_id(public) == await device_of(alice) != before
    assert key_files.read_key(path, lambda: "open sesame").public == public


async def test_a_process_that_is_not_the_owner_only_queues_and_the_owner_seals(
    house: Household, relay: Relay
) -> None:
    bob = await house.join("bob")
    alice = await house.join("alice", port=relay.port)
    target, relay.target_port = relay.target_port, None
    relay.cut()
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    helper = await house.start("alice", share=True, port=relay.port)
    sent = await helper.client.send("bob", "through the other")
    account = await helper.client._background.account()
    assert not account.is_owner
    row = await account.writer.read(lambda store: store.queued_after(0)[0][0])
    assert row.payload is None
    done = await account.writer.write(lambda store: store.seal(sync.Seal([sent.message_id])))
    assert not done.payloads, "without the key nothing can be sealed"
    relay.target_port = target
    alice.client.retry_now()
    stored = await helper.client.wait_stored(sent.message_id, 10)
    assert not stored.plain
    assert texts(await bob.received(1)) == ["through the other"]


async def test_a_process_that_is_not_the_owner_queues_for_the_device_that_there_is(
    house: Household,
) -> None:
    bob, _ = await copied_while_others_write(house)
    mark(house.folder / "copy")
    owner = await house.start("alice", "copy")
    helper = await house.start("alice", "copy", share=True)
    await rotated(owner)
    sent = await helper.client.send("bob", "queued beside")
    stored = await helper.client.wait_stored(sent.message_id, 10)
    assert stored.device == await device_of(owner)
    await owner.aclose()
    await helper.online()
    await helper.client.send("bob", "taken over")
    assert texts(await bob.received(4))[2:] == ["queued beside", "taken over"]


async def test_a_server_that_always_knows_more_is_given_up(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def due(*_: Any) -> bool:
        return True

    monkeypatch.setattr(rotation, "is_due", due)
    monkeypatch.setattr(rotation, "rotate", due)
    alice = await house.start("alice")
    (fatal,) = await alice.wait(Fatal)
    assert isinstance(fatal.error, ChainInvalid)


def store_of(folder: Path) -> Path:
    (path,) = (folder / "accounts").rglob("store.db")
    return path


def mark(folder: Path) -> None:
    """Note in a store that its device has to be replaced, as a restored backup does."""
    with contextlib.closing(open_database(store_of(folder), create=False)) as connection:
        write_rotation(connection, Rotation(why="backup"))


def as_before_encryption(patch: pytest.MonkeyPatch) -> None:
    """Let clients register as those did that knew no encryption."""
    make_genesis = links.make_genesis

    def without_keys(name: str, key: Any, recovery: bytes, time: int, _: Any) -> m.Link:
        return make_genesis(name, key, recovery, time)

    async def none(_: Account) -> tuple[Any, None]:
        return NO_KEYS, None

    async def not_due(*_: Any) -> bool:
        return False

    patch.setattr(links, "make_genesis", without_keys)
    patch.setattr(Account, "public_keys", none)
    patch.setattr(rotation, "is_due", not_due)
