"""One account, several processes or machines, and backups, with the real server."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from jim.client.events import (
    Fatal,
    LinkChanged,
    LinkState,
    MissingNotice,
    OwnChanged,
)
from jim.client.sending import Sending
from jim.errors import (
    AccountInUse,
    Replaced,
)
from jim.storage.sqlite import reissue_epoch
from unit_tests.client.household import Household
from unit_tests.client.relay import Relay
from unit_tests.support.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client import Client


async def test_an_account_has_one_owner_and_others_send_through_it(house: Household) -> None:
    bob = await house.join("bob")
    alice = await house.join("alice")
    with pytest.raises(AccountInUse):
        await house.start("alice")
    helper = await house.start("alice", share=True)
    assert helper.client.state is LinkState.SHARED
    sent = await helper.client.send("bob", "through the other")
    stored = await helper.client.wait_stored(sent.message_id, 10)
    assert stored.state in {"stored", "delivered"}
    assert (await bob.received(1))[0].text == "through the other"
    assert not await helper.client.cancel(sent.message_id)
    waiting = await helper.client.send("bob", "cancelling is the owner's business")
    assert not await helper.client.cancel(waiting.message_id)
    failed = await helper.client.send("nemo", "?")
    assert (await helper.client.wait_stored(failed.message_id, 10)).state == "failed"
    assert await helper.client.flush(10)
    await alice.wait(OwnChanged, lambda event: event.message.text == "through the other")


async def test_a_helper_cannot_take_back_what_the_owner_will_send(
    house: Household, relay: Relay
) -> None:
    bob = await house.join("bob")
    alice = await house.join("alice", port=relay.port)
    target, relay.target_port = relay.target_port, None
    relay.cut()
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    sent = await alice.client.send("bob", "queued before the helper came")
    helper = await house.start("alice", share=True, port=relay.port)
    assert not await helper.client.cancel(sent.message_id)
    relay.target_port = target
    alice.client.retry_now()
    await helper.client.wait_stored(sent.message_id, 10)
    assert [m.text for m in await bob.received(1)] == ["queued before the helper came"]
    (kept,) = await alice.client.history("bob")
    assert kept.state in {"stored", "delivered"}


async def test_a_helper_takes_over_when_the_owner_goes(house: Household) -> None:
    bob = await house.join("bob")
    alice = await house.join("alice")
    helper = await house.start("alice", share=True)
    await alice.client.words_shown()
    await alice.aclose()
    sent = await helper.client.send("bob", "on my own")
    await helper.online()
    await helper.client.wait_stored(sent.message_id, 10)
    assert [m.text for m in await bob.received(1)] == ["on my own"]
    assert (await helper.client._background.account()).record.words is None


async def test_an_account_is_recognised_behind_another_address_of_its_server(
    house: Household,
) -> None:
    bob, _ = await house.join("bob"), await house.join("alice")
    refused = await house.start("alice", host="localhost")
    (fatal,) = await refused.wait(Fatal)
    assert isinstance(fatal.error, AccountInUse)
    await refused.aclose()
    known = house.folder / "alice" / "known_servers"
    known.write_text(known.read_text().splitlines(keepends=True)[0])
    helper = await house.start("alice", host="localhost", share=True)
    await helper.client.send("bob", "through the other")
    assert [m.text for m in await bob.received(1)] == ["through the other"]
    await helper.wait(LinkChanged, lambda event: event.state is LinkState.SHARED)


async def test_owner_and_helpers_never_take_the_same_number(house: Household) -> None:
    bob, alice = await house.join("bob"), await house.join("alice")
    helpers = [await house.start("alice", share=True) for _ in range(2)]
    senders = [alice.client, *(helper.client for helper in helpers)]

    async def send(client: Client, who: int) -> None:
        for i in range(30):
            await client.send("bob", f"{who}:{i}")

    await asyncio.gather(*(send(client, who) for who, client in enumerate(senders)))
    texts = [m.text for m in await bob.received(90)]
    assert sorted(texts) == sorted(f"{who}:{i}" for who in range(3) for i in range(30))
    for who in range(3):
        mine = [text for text in texts if text.startswith(f"{who}:")]
        assert mine == [f"{who}:{i}" for i in range(30)]


async def test_a_copied_account_does_not_fight(house: Household, tmp_path: Path) -> None:
    alice = await house.join("alice")
    shutil.copytree(tmp_path / "alice", tmp_path / "copy")
    await house.join("alice", "copy")
    (fatal,) = await alice.wait(Fatal)
    assert isinstance(fatal.error, Replaced)


async def test_a_restored_account_doubles_nothing_and_says_what_it_does_not_know(
    house: Household, relay: Relay, tmp_path: Path
) -> None:
    bob, alice = await house.join("bob"), await house.join("alice", port=relay.port)
    await alice.client.send("bob", "one")
    await alice.client.flush(10)
    target, relay.target_port = relay.target_port, None
    relay.cut()
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    await alice.client.send("bob", "waits when the backup is made")
    await alice.aclose()
    shutil.copytree(tmp_path / "alice", tmp_path / "backup")
    relay.target_port = target
    again = await house.join("alice", port=relay.port)
    assert await again.client.flush(10)
    await again.aclose()
    relay.target_port = None
    restored = await house.start("alice", "backup", port=relay.port)
    fresh = await restored.client.send("bob", "written after the restore")
    relay.target_port = target
    restored.client.retry_now()
    await restored.wait(MissingNotice, lambda event: event.code == "rotated")
    assert (await restored.client.wait_stored(fresh.message_id, 10)).n == 1, "of a new device"
    texts = ["one", "waits when the backup is made", "written after the restore"]
    assert [m.text for m in await bob.received(3)] == texts
    states = {m.text: m.error_code for m in await restored.client.history("bob")}
    assert states == dict(zip(texts, (None, "unknown_outcome", None), strict=True))


async def test_a_restored_account_does_not_take_the_number_of_another_message_for_its_own(
    house: Household, relay: Relay, tmp_path: Path
) -> None:
    """In the backup both wait, sent; since then the first was refused, and its number moved on."""
    bob, alice = await house.join("bob"), await house.join("alice", port=relay.port)
    relay.deaf = True
    await alice.client.send("nemo", "for nobody")
    await alice.client.send("bob", "moves up")
    await alice.aclose()
    shutil.copytree(tmp_path / "alice", tmp_path / "backup")
    relay.deaf = False
    again = await house.join("alice", port=relay.port)
    assert await again.client.flush(10)
    assert [m.text for m in await bob.received(1)] == ["moves up"]
    await again.aclose()
    restored = await house.join("alice", "backup")
    await restored.wait(MissingNotice, lambda event: event.code == "rotated")
    later = await restored.client.send("bob", "later")
    assert (await restored.client.wait_stored(later.message_id, 10)).error_code is None
    assert [m.text for m in await bob.received(2)] == ["moves up", "later"]
    (nobody,) = await restored.client.history("nemo")
    moved, _ = await restored.client.history("bob")
    assert {nobody.error_code, moved.error_code} == {"unknown_outcome"}


async def test_the_same_key_sends_once(house: Household) -> None:
    bob, alice = await house.join("bob"), await house.join("alice")
    first = await alice.client.send("bob", "backup done", key="2026-11-23")
    await alice.client.wait_stored(first.message_id, 10)
    second = await alice.client.send("bob", "backup done", key="2026-11-23")
    assert second.message_id == first.message_id
    await alice.client.send("bob", "end")
    assert [m.text for m in await bob.received(2)] == ["backup done", "end"]


async def test_what_a_server_has_lost_is_queued_again_once_also_by_a_client_that_began_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `python -m reliability.simulate`, seed 100361: queued again, and found as new."""
    data, backup = tmp_path / "server", tmp_path / "server backup"
    async with Relay(None) as relay:
        household = Household(relay.port, tmp_path)
        async with serving(data) as server:
            relay.target_port = server.port
            bob, alice = await household.join("bob"), await household.join("alice")
        shutil.copytree(data, backup)
        async with serving(data) as server:
            relay.target_port = server.port
            alice.client.retry_now()
            bob.client.retry_now()
            await alice.client.send("bob", "one")
            await alice.wait(OwnChanged, lambda event: event.message.state == "delivered")
        await alice.aclose()
        original = Sending._requeued

        def requeued_and_looked(sending: Sending, found: list[Any]) -> None:
            original(sending, found)
            sending.notice()  # as the next message does, or one of another process

        monkeypatch.setattr(Sending, "_requeued", requeued_and_looked)
        reissue_epoch(backup / "server.db")
        async with serving(backup) as server:
            relay.target_port = server.port
            bob.client.retry_now()
            again = await household.join("alice")
            assert await again.client.flush(20)
            later = await again.client.send("bob", "two")
            assert (await again.client.wait_stored(later.message_id, 10)).n == 2
            assert [m.text for m in await bob.received(2)] == ["one", "two"]
            await household.aclose()


async def test_a_server_restored_from_a_backup_gets_back_what_it_lost(tmp_path: Path) -> None:
    data, backup = tmp_path / "server", tmp_path / "server backup"
    async with Relay(None) as relay:
        household = Household(relay.port, tmp_path)
        async with serving(data) as server:
            relay.target_port = server.port
            bob, alice = await household.join("bob"), await household.join("alice")
            await alice.client.send("bob", "one")
            await alice.wait(OwnChanged, lambda event: event.message.state == "delivered")
        shutil.copytree(data, backup)
        async with serving(data) as server:
            relay.target_port = server.port
            alice.client.retry_now()
            bob.client.retry_now()
            for text in ("two", "three"):
                await alice.client.send("bob", text)
            await alice.wait(OwnChanged, lambda event: event.message.state == "delivered", 3)
        reissue_epoch(backup / "server.db")
        async with serving(backup) as server:
            relay.target_port = server.port
            alice.client.retry_now()
            bob.client.retry_now()
            await alice.client.send("bob", "four")
            assert await alice.client.flush(20)
            assert [m.text for m in await bob.received(4)] == ["one", "two", "three", "four"]
            await alice.wait(OwnChanged, lambda event: event.message.state == "delivered", 6)
            history = await alice.client.history("bob")
            assert [(m.text, m.n, m.state) for m in history] == [
                (text, n, "delivered") for n, text in enumerate(("one", "two", "three", "four"), 1)
            ]
            await household.aclose()
