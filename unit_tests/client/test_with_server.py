"""The client library against the real server, on real sockets and real databases."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client import Address, choose_account, known_accounts, policy
from jim.client.events import (
    FirstContact,
    LinkChanged,
    LinkState,
    MissingNotice,
    OwnChanged,
    PresenceChanged,
    Registered,
)
from jim.client.store import MessageStore
from jim.errors import (
    JimError,
    NameInvalid,
    TextTooLong,
)
from unit_tests.client.household import Household
from unit_tests.support.serving import QUICK, Serving, serving

if TYPE_CHECKING:
    from pathlib import Path

    from unit_tests.client.relay import Relay


async def test_a_first_message(house: Household) -> None:
    alice, bob = await house.join("Alice"), await house.join("bob", language="ru")
    (met,) = await alice.wait(FirstContact)
    (registered,) = await alice.wait(Registered)
    assert (met.mode, met.fingerprint) == ("pin", alice.client.fingerprint)
    assert registered.name == alice.client.name == "alice"
    assert registered.words is not None
    assert len(registered.words) == 12
    sent = await alice.client.send("Bob", "привет 👋")
    assert (sent.state, sent.n, sent.peer) == ("queued", 1, "bob")
    stored = await alice.client.wait_stored(sent.message_id, 10)
    (message,) = await bob.received(1)
    assert (message.text, message.sender, message.seq) == ("привет 👋", "alice", stored.seq)
    await alice.wait(OwnChanged, lambda event: event.message.state == "delivered")
    assert [m.state for m in await alice.client.history("BOB")] == ["delivered"]
    assert [c.peer for c in await bob.client.conversations()] == ["alice"]


async def test_a_refused_message_in_a_burst_fails_alone(house: Household) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    names = ["bob", "nemo", "bob", "nemo-2", "bob", "bob"]
    sent = await asyncio.gather(*(alice.client.send(name, str(i)) for i, name in enumerate(names)))
    assert await alice.client.flush(10)
    assert [m.text for m in await bob.received(4)] == ["0", "2", "4", "5"]
    settled = [await alice.client.wait_stored(m.message_id, 1) for m in sent]
    assert [m.error_code for m in settled] == [
        *(None, "recipient_unknown", None),
        *("recipient_unknown", None, None),
    ]
    assert [m.n for m in settled] == [1, 0, 2, 0, 3, 4]


async def test_a_burst_reads_every_row_of_the_outbox_once(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await house.join("alice")
    read: list[int] = []
    original = MessageStore.queued_after

    def counted(store: MessageStore, message_id: int) -> list[Any]:
        found = original(store, message_id)
        read.append(len(found))
        return found

    monkeypatch.setattr(MessageStore, "queued_after", counted)
    sent = await asyncio.gather(*(alice.client.send("alice", str(i)) for i in range(300)))
    settled = await asyncio.gather(*(alice.client.wait_stored(m.message_id, 20) for m in sent))
    assert {m.state for m in settled} == {"stored"}
    assert sum(read) == 300


async def test_what_cannot_be_sent_is_refused_before_it_is_queued(house: Household) -> None:
    alice = await house.join("alice")
    limit = alice.client.limits.text_bytes
    with pytest.raises(TextTooLong):
        await alice.client.send("bob", "я" * (limit // 2 + 1))
    with pytest.raises(NameInvalid):
        await alice.client.send("bob\n", "x")
    with pytest.raises(JimError):
        await alice.client.send("bob", "\udcff")
    assert await alice.client.history("bob") == []


async def test_messages_written_without_a_server_go_out_later(
    house: Household, relay: Relay, server: Serving
) -> None:
    bob = await house.join("bob")
    alice = await house.join("alice", port=relay.port)
    await alice.aclose()
    relay.target_port = None
    again = await house.start("alice", port=relay.port)
    await again.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    texts = [f"offline {i}" for i in range(100)]
    for text in texts:
        await again.client.send("bob", text)
    assert not await again.client.flush(0.01)
    relay.target_port = server.port
    again.client.retry_now()
    assert await again.client.flush(20)
    assert [m.text for m in await bob.received(100)] == texts


async def test_cut_again_and_again_everything_arrives_once_and_in_order(
    house: Household, relay: Relay
) -> None:
    alice = await house.join("alice", port=relay.port)
    bob = await house.join("bob", port=relay.port)
    chance = random.Random(3)
    cuts = 0

    def maybe_cut() -> None:
        nonlocal cuts
        if chance.random() < 0.08 and cuts < 12:
            cuts += 1
            relay.cut()
            for listening in (alice, bob):
                asyncio.get_running_loop().call_later(0.02, listening.client.retry_now)

    relay.on_answer = maybe_cut
    for i in range(300):
        await alice.client.send("bob", str(i))
        if i % 10 == 0:
            await alice.client.send("nemo", "refused")
    assert await alice.client.flush(20)
    assert [m.text for m in await bob.received(300)] == [str(i) for i in range(300)]
    assert [m.seq for m in await bob.received(300)] == list(range(1, 301))
    assert cuts == 12
    relay.on_answer = lambda: None
    await alice.wait(OwnChanged, lambda event: event.message.state == "delivered", 300)


async def test_a_connection_that_went_dead_is_noticed(
    house: Household, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await house.join("alice", port=relay.port), await house.join("bob")
    relay.deaf = True
    sent = await alice.client.send("bob", "into the void")
    link = alice.client._background.keeper.link
    assert link is not None
    with monkeypatch.context() as hurried:
        hurried.setattr(policy, "DEAD_S", 0.05)
        link.probe_now()
        await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    relay.deaf = False
    relay.cut()
    alice.client.retry_now()
    await alice.client.wait_stored(sent.message_id, 20)
    await alice.client.send("bob", "end")
    assert [m.text for m in await bob.received(2)] == ["into the void", "end"]


async def test_there_is_no_conversation_with_a_reserved_word(house: Household) -> None:
    alice = await house.join("alice")
    assert await alice.client.history("Nobody") == []
    with pytest.raises(NameInvalid):
        await alice.client.history("no body")


async def test_an_addressee_who_is_away_gets_everything_on_return(house: Household) -> None:
    bob = await house.join("bob")
    await bob.aclose()
    alice = await house.join("alice")
    for i in range(50):
        await alice.client.send("bob", str(i))
    assert await alice.client.flush(10)
    assert {m.state for m in await alice.client.history("bob", limit=50)} == {"stored"}
    again = await house.join("bob")
    assert [m.text for m in await again.received(50)] == [str(i) for i in range(50)]
    await alice.wait(OwnChanged, lambda event: event.message.state == "delivered", 50)


async def test_delivery_that_happened_in_absence_is_learnt_on_return(house: Household) -> None:
    bob = await house.join("bob")
    await bob.aclose()
    alice = await house.join("alice")
    await alice.client.send("bob", "hi")
    await alice.client.flush(10)
    await alice.aclose()
    again = await house.join("bob")
    await again.received(1)
    await again.aclose()
    back = await house.join("alice")
    await back.wait(OwnChanged, lambda event: event.message.state == "delivered")


async def test_what_was_never_sent_can_be_taken_back(house: Household, relay: Relay) -> None:
    bob, alice = await house.join("bob"), await house.join("alice", port=relay.port)
    target, relay.target_port = relay.target_port, None
    relay.cut()
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    first = await alice.client.send("bob", "taken back")
    second = await alice.client.send("bob", "stays")
    assert await alice.client.cancel(first.message_id)
    assert not await alice.client.cancel(first.message_id)
    relay.target_port = target
    alice.client.retry_now()
    stored = await alice.client.wait_stored(second.message_id, 10)
    assert (stored.n, [m.text for m in await bob.received(1)]) == (1, ["stays"])
    assert not await alice.client.cancel(second.message_id)
    again = await alice.client.resend(first.message_id)
    assert again.text == "taken back"
    await bob.received(2)
    with pytest.raises(JimError):
        await alice.client.resend(second.message_id)


async def test_presence_is_told_and_learnt_again_after_a_cut(
    house: Household, relay: Relay
) -> None:
    bob = await house.join("bob")
    alice = await house.join("alice", port=relay.port)
    await bob.client.send("alice", "now you may see me")
    await alice.received(1)
    assert (await alice.client.presence(watch=True)).online == ["bob"]
    await bob.aclose()
    await alice.wait(PresenceChanged, lambda event: not event.online)
    target, relay.target_port = relay.target_port, None
    relay.cut()
    await house.join("bob")
    relay.target_port = target
    alice.client.retry_now()
    await alice.wait(PresenceChanged, lambda event: event.online)


async def test_a_full_mailbox_is_told_to_both_sides(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(QUICK, waiting_messages=3)
    async with serving(tmp_path / "server", limits) as server:
        household = Household(server.port, tmp_path)
        bob = await household.join("bob")
        await bob.aclose()
        alice = await household.join("alice")
        sent = [await alice.client.send("bob", str(i)) for i in range(5)]
        assert await alice.client.flush(10)
        codes = [(await alice.client.wait_stored(m.message_id, 1)).error_code for m in sent]
        assert codes == [None, None, None, "mailbox_full", "mailbox_full"]
        again = await household.join("bob")
        assert [m.text for m in await again.received(3)] == ["0", "1", "2"]
        (told,) = await again.wait(MissingNotice, lambda event: event.code == "mailbox_full")
        # Nobody has said that it was shown: the next life tells it again, until somebody does.
        await again.aclose()
        again = await household.join("bob")
        assert await again.wait(MissingNotice) == [told]
        await again.client.notice_shown(told.notice_id)
        await again.aclose()
        again = await household.join("bob")
        resent = await alice.client.resend(sent[3].message_id)
        await alice.client.wait_stored(resent.message_id, 10)
        assert [m.text for m in await again.received(1)] == ["3"]
        assert not any(isinstance(event, MissingNotice) for event in again.events)
        await household.aclose()


async def test_the_accounts_of_a_machine_can_be_listed(
    house: Household, server: Serving, tmp_path: Path
) -> None:
    await house.join("alice", "machine")
    (account,) = known_accounts(tmp_path / "machine")
    assert (account.name, account.address) == ("alice", Address("127.0.0.1", server.port))
    assert choose_account(None, None, tmp_path / "machine") == account


async def test_a_server_that_stops_is_waited_for(house: Household, server: Serving) -> None:
    alice = await house.join("alice")
    await server.service.drain()
    (waiting, *_) = await alice.wait(LinkChanged, lambda event: event.state is LinkState.WAITING)
    assert waiting.error is not None
    assert waiting.retry_in_s is not None


async def test_events_end_with_the_client(house: Household) -> None:
    alice = await house.join("alice")
    late = alice.client.events()
    await alice.aclose()
    async with asyncio.timeout(5):
        assert [event async for event in late] == []
        assert [event async for event in alice.client.events()] == []
    with contextlib.suppress(JimError):
        await alice.client.send("bob", "too late")
        pytest.fail("a closed client takes no message")


async def test_the_loop_never_waits_for_a_disk(
    house: Household, tmp_path: Path, no_blocking_calls: None
) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    await alice.client.send("bob", "hi")
    await bob.received(1)
    await alice.aclose()
