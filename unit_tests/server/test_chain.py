"""`chain` and `extend`: anybody's chain is read, the own one grows, and everybody hears of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import UNSET

from jim.core.limits import Limits
from jim.crypto import chain, links
from jim.crypto.keys import NO_KEYS
from jim.crypto.transcript import link_hash
from jim.protocol import messages as m
from unit_tests.support.serving import Serving, serving
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from pathlib import Path

    from jim.crypto.chain import ChainState


async def state_of(server: Serving, name: str) -> ChainState:
    account = await server.store.find_account(name)
    assert account is not None
    return chain.verify_chain(account.links, name)


async def added(server: Serving, wire: Wire, person: Person) -> tuple[Person, m.Link]:
    """Let somebody add a device that has keys."""
    other = person.another()
    assert other.olm is not None
    state = await state_of(server, person.name)
    link = links.make_add(state, other.key, person.key, 2_000, other.olm.keys)
    answer = await wire.extend(link, other)
    assert (answer.chain_seq, answer.chain_head) == (link.seq, link_hash(link))
    other.head = link_hash(link)
    return other, link


async def test_a_device_reads_how_its_chain_has_grown(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("bob")
        alice, person = await server.join(Person.keyed("alice"))
        _, link = await added(server, alice, person)
        alice.send(
            m.ChainRequest(id="all"),
            m.ChainRequest(id="rest", after=0),
            m.ChainRequest(id="none", after=1),
        )
        answers = [await alice.expect(m.Chain) for _ in range(3)]
        got = {answer.id: answer.links for answer in answers}
        assert got == {"all": [person.genesis, link], "rest": [link], "none": []}


async def test_anybody_reads_anybodys_chain(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        bob, _ = await server.join("bob")
        bob.send(m.ChainRequest(id=1, name="Alice"))
        assert (await bob.expect(m.Chain)).links == [alice.genesis]
        bob.send(m.ChainRequest(id=2, name="nobody"))
        assert (await bob.error()).code == "recipient_unknown"


async def test_a_device_adds_another_which_can_log_in_and_be_sealed_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        bobs, bob = await server.join(Person.keyed("bob"))
        phone, link = await added(server, desk, alice)
        hers = await server.back(phone)
        await hers.sync()
        assert await desk.extend(link, phone) is not None, "the same link again is a retry"
        bobs.seal(1, "alice", alice)
        error = await bobs.error()
        assert (error.code, error.n) == ("devices_changed", 1)
        assert error.devices == sorted([alice.device, phone.device])
        bobs.seal(1, "alice", alice, phone)
        assert (await bobs.expect(m.Stored)).seq == 1
        got = await hers.expect(m.Delivery)
        assert (got.message, got.ciphertext) == (UNSET, f"1m1/{phone.device}")
        assert bob.device == got.device


async def test_a_revoked_device_is_out_at_once_and_for_good(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        phone, _ = await added(server, desk, alice)
        hers = await server.back(phone)
        out = links.make_revoke(await state_of(server, "alice"), phone.device, alice.key, 3_000)
        await desk.extend(out)
        ended = await hers.ended()
        assert isinstance(ended[-1], m.Goodbye)
        assert ended[-1].code == "revoked"
        again = await server.wire()
        again.send(again.auth(await again.greet(), phone))
        error = await again.error()
        assert (error.code, error.fatal) == ("revoked", True)
        await again.ended()
        forger = await server.wire()
        wrong = msgspec.structs.replace(forger.auth(await forger.greet(), phone), sig=bytes(64))
        forger.send(wrong)
        assert (await forger.error()).code == "auth_failed", "only who holds the key is told"
        assert (await desk.extend(out)).chain_seq == out.seq


async def test_who_revokes_itself_hears_that_it_was_done(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        out = links.make_revoke(await state_of(server, "alice"), alice.device, alice.key, 3_000)
        assert (await desk.extend(out)).chain_seq == 1
        [goodbye] = await desk.ended()
        assert goodbye.code == "revoked"


async def test_everybody_concerned_hears_that_a_chain_has_grown(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        phone, _ = await added(server, desk, alice)
        phones = await server.back(phone)
        wrote, _ = await server.join("bob")
        read, _ = await server.join("carol")
        stranger, _ = await server.join("dave")
        await wrote.say(1, "alice", "hi")
        await desk.say(1, "carol", "hi")
        await added(server, desk, alice)
        for wire in (phones, wrote, read):
            news = await wire.expect(m.DevicesChange)
            assert (news.name, news.chain_seq) == ("alice", 2)
        for wire in (desk, stranger):
            wire.send(m.Probe(id=wire.next_id()))
            await wire.expect(m.Pong)
            assert not [each for each in wire.seen if isinstance(each, m.DevicesChange)]


async def test_links_that_may_not_be_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        _, bob = await server.join(Person.keyed("bob"))
        state = await state_of(server, "alice")
        other = alice.another()
        assert other.olm is not None
        good = links.make_add(state, other.key, alice.key, 2_000, other.olm.keys)
        by_stranger = links.make_add(state, other.key, bob.key, 2_000, other.olm.keys)
        plain = links.make_add(state, other.key, alice.key, 2_000, NO_KEYS)
        reset = links.make_reset(
            state, other.key, bob.recovery.public, alice.recovery, time=1, keys=other.olm.keys
        )
        foreign = links.make_add(
            await state_of(server, "bob"), other.key, bob.key, 2_000, other.olm.keys
        )
        assert not isinstance(bob.fallback, msgspec.UnsetType)
        for link, fallback in (
            (by_stranger, other.fallback),
            (plain, other.fallback),
            (good, UNSET),
            (good, bob.fallback),
            (reset, other.fallback),
        ):
            desk.send(m.Extend(id=7, link=link, fallback=fallback))
            assert (await desk.error()).code == "bad_request"
        desk.send(m.Extend(id=8, link=foreign, fallback=other.fallback))
        error = await desk.error()
        assert (error.code, error.expected) == ("chain_moved", 1)
        assert (await state_of(server, "alice")).seq == 0


async def test_a_link_for_an_older_end_is_told_the_next_number(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        state = await state_of(server, "alice")
        late = alice.another()
        assert late.olm is not None
        link = links.make_add(state, late.key, alice.key, 2_000, late.olm.keys)
        await added(server, desk, alice)
        desk.send(m.Extend(id=9, link=link, fallback=late.fallback))
        error = await desk.error()
        assert (error.code, error.expected, error.fatal) == ("chain_moved", 2, False)


async def test_an_account_has_at_most_so_many_devices(tmp_path: Path) -> None:
    limits = Limits(devices=2, messages_per_s=0, bytes_per_s=0)
    async with serving(tmp_path, limits) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        await added(server, desk, alice)
        third = alice.another(keys=False)
        link = links.make_add(await state_of(server, "alice"), third.key, alice.key, 3_000)
        desk.send(m.Extend(id=9, link=link))
        assert (await desk.error()).code == "too_many_devices"


# --- beginning anew -------------------------------------------------------------------------------


async def test_a_reset_ends_every_other_session_and_leaves_one_device(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        desk, alice = await server.join(Person.keyed("alice"))
        phone, _ = await added(server, desk, alice)
        phones = await server.back(phone)
        bobs, _ = await server.join(Person.keyed("bob"))
        await bobs.say(1, "alice", "for whoever comes")
        new, words = alice.another(), Person("alice").recovery
        wire = await server.wire()
        shown = await wire.recover(alice)
        state = chain.verify_chain(shown.links, "alice")
        assert new.olm is not None
        reset = links.make_reset(
            state, new.key, words.public, alice.recovery, time=4_000, keys=new.olm.keys
        )
        wire.send(wire.enrolment(new, reset))
        welcome = await wire.welcome()
        assert (welcome.chain_seq, welcome.chain_head) == (2, link_hash(reset))
        for old in (desk, phones):
            assert (await old.ended())[-1].code == "revoked"
        news = await bobs.expect(m.DevicesChange)
        assert (news.name, news.chain_seq) == ("alice", 2)
        await wire.sync()
        assert (await wire.expect(m.Delivery)).message == "for whoever comes"
        bobs.seal(2, "alice", alice, phone)
        assert (await bobs.error()).devices == [new.device]


async def test_only_the_words_reset(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join(Person.keyed("alice"))
        new = alice.another()
        wire = await server.wire()
        state = chain.verify_chain((await wire.recover(alice)).links, "alice")
        assert new.olm is not None
        words = Person("x").recovery.public
        forged = links.make_reset(state, new.key, words, alice.key, time=1, keys=new.olm.keys)
        wire.send(wire.enrolment(new, forged))
        assert (await wire.error()).code == "bad_request"


@pytest.mark.parametrize("fallback", ["missing", "of another device"])
async def test_a_newcomer_with_keys_brings_a_good_fallback_key(
    tmp_path: Path, fallback: str
) -> None:
    async with serving(tmp_path) as server:
        alice, other = Person.keyed("alice"), Person.keyed("alice")
        wire = await server.wire()
        asked = wire.registration(await wire.greet(), alice)
        asked.fallback = UNSET if fallback == "missing" else other.fallback
        wire.send(asked)
        assert (await wire.error()).code == "bad_request"
        wire.send(wire.registration(await wire.greet(), alice))
        assert (await wire.welcome()).one_time_keys == 0
