"""Names, words, invites and servers that are not what they were, with the real server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client import Address, Client
from jim.client.events import (
    DevicesChanged,
    Fatal,
    FirstContact,
    LinkState,
    MissingNotice,
    OwnChanged,
    Registered,
)
from jim.client.known_servers import KnownServers
from jim.core.model import InviteRecord
from jim.crypto.invites import Invite, new_token, token_hash
from jim.errors import (
    AuthFailed,
    InviteRequired,
    NameInvalid,
    NameTaken,
    ServerIdentityChanged,
    WordsInvalid,
)
from unit_tests.client.household import Household
from unit_tests.client.listening import Listening
from unit_tests.support.serving import Serving, serving

if TYPE_CHECKING:
    from pathlib import Path

    from unit_tests.client.relay import Relay


async def test_the_words_are_told_until_they_have_been_shown(
    house: Household, tmp_path: Path
) -> None:
    alice = await house.join("alice")
    (first,) = await alice.wait(Registered)
    await alice.aclose()
    again = await house.join("alice")
    (second,) = await again.wait(Registered)
    assert second == first
    assert first.words is not None
    assert " ".join(first.words) in written(tmp_path / "alice")
    await again.client.words_shown()
    assert " ".join(first.words) not in written(tmp_path / "alice")
    await again.aclose()
    third = await house.join("alice")
    assert not [event for event in third.events if isinstance(event, Registered)]


def written(folder: Path) -> str:
    """Everything that a store's files hold at the moment."""
    content = b"".join(path.read_bytes() for path in folder.rglob("store.db*"))
    return content.decode("utf-8", "replace")


async def test_twelve_words_bring_the_account_to_an_empty_machine(
    house: Household, server: Serving, tmp_path: Path
) -> None:
    alice, bob = await house.join("alice"), await house.join("bob")
    (registered,) = await alice.wait(Registered)
    words = " ".join(registered.words or ())
    client = Client.recover(
        Address("127.0.0.1", server.port), "alice", words, data_dir=tmp_path / "new machine"
    )
    second = Listening(client)
    house.clients.append(second)
    await client.start()
    await second.online()
    (told,) = await second.wait(Registered)
    assert told == Registered("alice", None)
    await bob.client.send("alice", "to both")
    await alice.client.send("bob", "from the first device")
    assert [m.text for m in await alice.received(1)] == ["to both"]
    assert [m.text for m in await second.received(1)] == ["to both"]
    (own,) = await second.wait(OwnChanged, lambda event: event.message.state == "stored")
    assert (own.message.text, own.message.peer) == ("from the first device", "bob")
    await second.client.send("bob", "from the second device")
    assert [m.text for m in await bob.received(2)][1] == "from the second device"
    await second.aclose()
    again = await house.join("alice", "new machine")
    await again.client.send("bob", "as usual from now on")
    await bob.received(3)
    (notice,) = await alice.wait(MissingNotice)
    assert (notice.code, notice.peer) == ("device_added", "alice")
    await alice.aclose()
    back = await house.join("alice")
    await back.client.send("bob", "nothing is told twice")
    assert await back.client.flush(20)
    assert not [event for event in back.events if isinstance(event, DevicesChanged)]


async def test_other_words_recover_nothing(
    house: Household, server: Serving, tmp_path: Path
) -> None:
    alice, carol = await house.join("alice"), await house.join("carol")
    (other,) = await carol.wait(Registered)
    address = Address("127.0.0.1", server.port)
    with pytest.raises(WordsInvalid):
        Client.recover(address, "alice", "one two three", data_dir=tmp_path / "thief")
    client = Client.recover(
        address, "alice", " ".join(other.words or ()), data_dir=tmp_path / "thief"
    )
    thief = Listening(client)
    house.clients.append(thief)
    await client.start()
    (fatal,) = await thief.wait(Fatal)
    assert isinstance(fatal.error, AuthFailed)
    assert alice.client.state is LinkState.ONLINE


async def test_a_name_that_somebody_has_cannot_be_taken(house: Household) -> None:
    await house.join("alice")
    thief = await house.start("alice", "thief")
    (fatal,) = await thief.wait(Fatal)
    assert isinstance(fatal.error, NameTaken)
    with pytest.raises(NameTaken):
        await thief.client.send("bob", "hi")
    assert thief.client.state is LinkState.STOPPED
    assert isinstance(thief.client.error, NameTaken)


async def test_a_name_that_cannot_be_one_is_refused_at_the_start(house: Household) -> None:
    with pytest.raises(NameInvalid):
        await house.start("no one")


async def test_a_registration_whose_answer_was_lost_is_repeated_with_the_same_keys(
    house: Household, relay: Relay
) -> None:
    alice = await house.start("alice", port=relay.port)
    await alice.wait(FirstContact)
    relay.deaf = True
    await alice.client.send("bob", "waits")  # the account exists: registration is on its way
    relay.cut()
    await alice.aclose()
    relay.deaf = False
    again = await house.join("alice", port=relay.port)
    (registered,) = await again.wait(Registered)
    assert registered.words


async def test_an_invite_brings_pin_and_token(tmp_path: Path) -> None:
    async with serving(tmp_path / "server", registration="invite") as server:
        household = Household(server.port, tmp_path)
        refused = await household.start("alice")
        (fatal,) = await refused.wait(Fatal)
        assert isinstance(fatal.error, InviteRequired)
        known = KnownServers(tmp_path / "alice").all()[0]
        token = new_token()
        await server.store.add_invite(InviteRecord(token_hash(token), 1, 2**52), 0)
        invite = Invite("127.0.0.1", server.port, known.server_id, token)
        await household.join("bob", invite=invite)
        stranger = invite._replace(server_id=bytes(32))
        suspicious = await household.start("carol", invite=stranger)
        (fatal,) = await suspicious.wait(Fatal)
        assert isinstance(fatal.error, ServerIdentityChanged)
        await household.aclose()


async def test_another_server_at_a_known_address_stops_the_client(
    house: Household, relay: Relay, tmp_path: Path
) -> None:
    alice = await house.join("alice", port=relay.port)
    async with serving(tmp_path / "impostor") as impostor:
        relay.target_port = impostor.port
        relay.deaf = True
        queued = await alice.client.send("bob", "for the real server only")
        waiting = asyncio.create_task(alice.client.wait_stored(queued.message_id, 30))
        relay.deaf = False
        relay.cut()
        alice.client.retry_now()
        (fatal,) = await alice.wait(Fatal)
    assert isinstance(fatal.error, ServerIdentityChanged)
    with pytest.raises(ServerIdentityChanged):
        await waiting
    assert fatal.error.fields["known"] == alice.client.fingerprint
    (kept,) = await alice.client.history("bob")
    assert kept.state == "queued", "the history stays readable, and nothing went to the impostor"
