# long module: both sides of linking, and every lie that each of them sees through
"""Linking with real connections: a new device and an old one, and servers and thieves that lie."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client import linking
from jim.client.account_record import AccountRecord, Stage
from jim.client.address import Address
from jim.client.link import connect
from jim.client.linking import Joined, Newcomer, check_draft, find_offer, matching, take_in
from jim.client.login import Credentials, Greeting, greet, log_in
from jim.core.limits import Limits
from jim.crypto import link_code, links
from jim.crypto.chain import ChainState, verify_chain
from jim.crypto.keys import NO_KEYS
from jim.crypto.link_code import LinkCode, make_code, new_secret, parse_code
from jim.crypto.transcript import Exchange
from jim.errors import ChainInvalid, ChainMoved, ConnectFailed, LinkExpired, OfferGone
from jim.protocol import messages as m
from unit_tests.client.fake_server import TERMS
from unit_tests.support.linking import Device, altered, chain_of, extend
from unit_tests.support.serving import QUICK, Serving, serving
from unit_tests.support.wire import Person

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from jim.client.link import Link


@pytest.fixture(autouse=True)
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_code, "SCRYPT_N", 2)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path) as running:
        yield running


class Phone:
    """The new device: its keys, what it kept and what it showed."""

    def __init__(self, name: str = "alice") -> None:
        self.device = Device()
        self.record = AccountRecord(name=name, device=self.device.device, stage=Stage.LINKING)
        self.secret = new_secret()
        self.shown: asyncio.Queue[tuple[LinkCode, int]] = asyncio.Queue()

    @property
    def who(self) -> Newcomer:
        return Newcomer(
            key=self.device.key,
            keys=self.device.keys,
            fallback=self.device.fallback,
            record=self.record,
            secret=self.secret,
            show=lambda code, seconds: self.shown.put_nowait((code, seconds)),
            save=self.save,
        )

    async def save(self, record: AccountRecord) -> None:
        self.record = record

    async def join(self, server: Serving) -> Joined:
        async with linked_to(server) as (link, greeting):
            return await linking.join(link, greeting, self.who)


@contextlib.asynccontextmanager
async def linked_to(server: Serving) -> AsyncIterator[tuple[Link, Greeting]]:
    link = await connect(Address("127.0.0.1", server.port), "pin")
    try:
        yield link, await greet(link, None)
    finally:
        await link.aclose()


@contextlib.asynccontextmanager
async def old_device(
    server: Serving, person: Person
) -> AsyncIterator[tuple[Link, bytes, ChainState]]:
    """Log a device of the account in; gives also the server's identity and the pinned chain."""
    async with linked_to(server) as (link, greeting):
        record = AccountRecord(
            name=person.name,
            device=person.device,
            stage=Stage.REGISTERED,
            chain_seq=0,
            chain_head=person.head,
        )

        async def save(_: AccountRecord) -> None:
            """Keep nothing."""

        who = Credentials(
            key=person.key,
            record=record,
            counter=0,
            token=None,
            recovery=None,
            keys=NO_KEYS,
            fallback=None,
            save=save,
        )
        await log_in(link, greeting, who)
        reading = asyncio.create_task(read_on(link))
        yield link, greeting.server_id, await chain_of(server, person.name)
        reading.cancel()


async def read_on(link: Link) -> None:
    with contextlib.suppress(ConnectFailed):
        while True:
            await link.receive()


async def member(server: Serving, name: str = "alice") -> Person:
    wire, person = await server.join(name)
    wire.close()
    return person


# --- all goes well ----------------------------------------------------------------------------


async def test_a_device_is_linked_and_logs_in(server: Serving) -> None:
    alice, phone = await member(server), Phone()
    async with old_device(server, alice) as (link, server_id, state):
        joining = asyncio.create_task(phone.join(server))
        code, seconds = await phone.shown.get()
        assert seconds == Limits().linking_s
        typed = parse_code(code.shown.upper())
        offer = await find_offer(link, server_id, "alice", typed)
        assert offer is not None
        added = await take_in(link, offer, typed, state, alice.key, time_ms=2_000)
        joined = await joining
    assert joined.confirmation == added.confirmation
    assert joined.state == added.state == await chain_of(server, "alice")
    assert joined.record == phone.record
    assert (joined.record.stage, joined.record.chain_head) == (Stage.REGISTERED, added.state.head)
    assert added.state.keys[phone.device.device] == phone.device.keys
    async with linked_to(server) as (link, greeting):
        who = Credentials(
            key=phone.device.key,
            record=joined.record,
            counter=0,
            token=None,
            recovery=None,
            keys=phone.device.keys,
            fallback=None,
            save=phone.save,
        )
        assert (await log_in(link, greeting, who)).device == phone.device.device


async def test_after_a_lost_connection_the_same_code_is_shown_and_works(server: Serving) -> None:
    alice, phone = await member(server), Phone()
    first = asyncio.create_task(phone.join(server))
    code, _ = await phone.shown.get()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    async with old_device(server, alice) as (link, server_id, state):
        joining = asyncio.create_task(phone.join(server))
        assert (await phone.shown.get())[0] == code
        offer = await find_offer(link, server_id, "alice", code)
        assert offer is not None
        await take_in(link, offer, code, state, alice.key, time_ms=2_000)
        await joining


async def test_a_device_that_missed_being_added_learns_it_at_the_next_try(server: Serving) -> None:
    alice, phone = await member(server), Phone()
    async with old_device(server, alice) as (link, server_id, state):
        joining = asyncio.create_task(phone.join(server))
        code, _ = await phone.shown.get()
        offer = await find_offer(link, server_id, "alice", code)
        assert offer is not None
        signed = await linking.propose(link, offer, code, state, alice.key, time_ms=2_000)
        joining.cancel()
        await asyncio.gather(joining, return_exceptions=True)
        assert (phone.record.stage, phone.record.chain_head) == (Stage.LINKING, state.head)
        await extend(server, signed)
    joined = await phone.join(server)
    assert joined.record.stage is Stage.REGISTERED
    assert phone.shown.empty()


async def test_nobody_comes(tmp_path: Path) -> None:
    limits = msgspec.structs.replace(QUICK, linking_s=0.1)
    async with serving(tmp_path, limits) as server:
        with pytest.raises(LinkExpired):
            await Phone().join(server)


# --- the old device ---------------------------------------------------------------------------


async def test_a_wrong_code_picks_nothing(server: Serving) -> None:
    alice, phone = await member(server), Phone()
    async with old_device(server, alice) as (link, server_id, _):
        joining = asyncio.create_task(phone.join(server))
        code, _ = await phone.shown.get()
        other = LinkCode(code.check, new_secret())
        assert await find_offer(link, server_id, "alice", other) is None
        joining.cancel()


SERVER_ID = b"S" * 32


def test_the_device_that_shows_the_code_is_found_among_others() -> None:
    phone, secret = Device(), new_secret()
    code = make_code(SERVER_ID, "alice", phone, secret)
    offers = [Device().offer(1), phone.offer(2), Device().offer(3)]
    assert matching(offers, SERVER_ID, "alice", code) == offers[1]
    assert matching(offers, SERVER_ID, "alicf", code) is None
    assert matching([offers[0], offers[2]], SERVER_ID, "alice", code) is None


@pytest.mark.parametrize("field", ["login_key", "ed", "curve", "fallback"])
def test_a_server_that_swaps_a_key_makes_no_offer_match(field: str) -> None:
    phone, thief = Device(), Device()
    code = make_code(SERVER_ID, "alice", phone, new_secret())
    offer = msgspec.structs.replace(phone.offer(), **{field: getattr(thief, field)})
    assert matching([offer], SERVER_ID, "alice", code) is None


class Lying:
    """A connection of the old device to a server that answers what the test wants."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[Any] = []

    def request(self, message: Any) -> asyncio.Future[Any]:
        self.asked.append(message)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)
        return future


ALICE = Person("alice")
STATE = verify_chain([ALICE.genesis], "alice")


def proof(raw: bytes) -> m.ProofReply:
    return m.ProofReply(id=1, response=200, time=0, proof=raw)


def foreign_proof(phone: Device) -> bytes:
    return links.prove_add(phone.draft(STATE), Device().key).proof


def proof_of_another_link(phone: Device) -> bytes:
    link = msgspec.structs.replace(phone.draft(STATE), time=3_000)
    return links.prove_add(link, phone.key).proof


@pytest.mark.parametrize("forge", [foreign_proof, proof_of_another_link, lambda _: bytes(64)])
async def test_a_forged_proof_is_refused_and_nothing_is_signed(forge: Any) -> None:
    phone = Device()
    code = make_code(SERVER_ID, "alice", phone, new_secret())
    lying = Lying(proof(forge(phone)))
    with pytest.raises(OfferGone):
        await take_in(lying, phone.offer(), code, STATE, ALICE.key, time_ms=2_000)
    (draft,) = lying.asked
    assert draft.link.sig == bytes(64)


async def test_a_chain_that_has_grown_meanwhile_is_for_the_caller_to_read() -> None:
    phone = Device()
    good = links.prove_add(phone.draft(STATE), phone.key).proof
    code = make_code(SERVER_ID, "alice", phone, new_secret())
    with pytest.raises(ChainMoved):
        await take_in(
            Lying(proof(good), ChainMoved(expected=2)),
            phone.offer(),
            code,
            STATE,
            ALICE.key,
            time_ms=2_000,
        )


async def test_answers_that_are_none() -> None:
    phone = Device()
    code = make_code(SERVER_ID, "alice", phone, new_secret())
    wrong = m.Ok(id=1, response=200, time=0, position=0)
    good = links.prove_add(phone.draft(STATE), phone.key).proof
    with pytest.raises(ConnectFailed):
        await find_offer(Lying(wrong), SERVER_ID, "alice", code)
    for replies in ([wrong], [proof(good), wrong]):
        with pytest.raises(ConnectFailed):
            await take_in(Lying(*replies), phone.offer(), code, STATE, ALICE.key, time_ms=2_000)


# --- the new device ---------------------------------------------------------------------------


class Luring:
    """A connection of the new device to a server that tells what the test wants."""

    def __init__(self, *news: m.ServerMessage, first: m.ServerMessage | None = None) -> None:
        self.first = first or m.Linking(id=1, response=202, time=0, expires_s=600)
        self.news = list(news)
        self.sent: list[Any] = []
        self.watched = 0

    def start_watching(self) -> None:
        self.watched += 1

    async def ask(self, message: m.ClientMessage) -> m.ServerMessage:
        return self.first

    def send(self, *messages: m.ClientMessage) -> None:
        self.sent += messages

    async def receive(self) -> list[m.ServerMessage]:
        if not self.news:
            raise ConnectFailed
        return [self.news.pop(0)]


GREETING = Greeting(
    Exchange(SERVER_ID, bytes(32), bytes(32), bytes(32)),
    m.parse_terms(TERMS),
)


class Lured(Phone):
    """A new device with such a connection."""

    @property
    def code(self) -> LinkCode:
        return self.who.code(SERVER_ID)

    def draft(self, state: ChainState, code: LinkCode | None = None, **changes: Any) -> m.DraftPush:
        link = msgspec.structs.replace(self.device.draft(state), **changes)
        return m.DraftPush(link=link, approval=(code or self.code).approve(link), time=0)

    async def meets(self, *news: m.ServerMessage, **options: Any) -> list[Any]:
        luring = Luring(*news, **options)
        with contextlib.suppress(ConnectFailed):
            await linking.join(luring, GREETING, self.who)
        return luring.sent

    async def refuses(self, reason: str, *news: m.ServerMessage, **options: Any) -> None:
        before = self.record
        luring = Luring(*news, **options)
        with pytest.raises(ChainInvalid) as caught:
            await linking.join(luring, GREETING, self.who)
        assert caught.value.fields["reason"] == reason
        assert bool(luring.sent) == (reason not in {"draft", "approval"})
        assert self.record.stage is before.stage is Stage.LINKING


def linked(*chain: m.Link) -> m.Linked:
    return m.Linked(links=list(chain), time=0)


async def test_an_honest_draft_is_proven_after_its_chain_was_pinned() -> None:
    phone = Lured()
    draft = phone.draft(STATE)
    luring = Luring(draft)
    with pytest.raises(ConnectFailed):
        await linking.join(luring, GREETING, phone.who)
    assert luring.watched == 1
    (answer,) = luring.sent
    assert answer.proof == links.prove_add(draft.link, phone.device.key).proof
    assert (phone.record.stage, phone.record.chain_seq) == (Stage.LINKING, 0)
    assert phone.record.chain_head == STATE.head


def foreign() -> Iterator[dict[str, Any]]:
    thief = Device()
    for field in ("login_key", "ed", "curve", "device"):
        yield {field: getattr(thief, field)}
    yield from ({"acct": "bob"}, {"op": "reset"}, {"recovery_key": b"r" * 32}, {"seq": 0})


@pytest.mark.parametrize("changes", list(foreign()), ids=lambda changes: next(iter(changes)))
async def test_a_draft_for_other_keys_or_another_account_is_refused(changes: Any) -> None:
    phone = Lured()
    await phone.refuses("draft", phone.draft(STATE, **changes))
    assert phone.record.chain_head == bytes(32)


async def test_a_draft_of_somebody_who_does_not_know_the_code_is_refused() -> None:
    phone = Lured()
    guessed = LinkCode(phone.code.check, new_secret())
    mallory = verify_chain([Person("alice").genesis], "alice")
    luring = phone.draft(mallory, guessed)
    await phone.refuses("approval", luring)
    assert phone.record.chain_head == bytes(32)


async def test_an_approval_of_the_real_chain_does_not_serve_for_a_forged_one() -> None:
    phone, mallory = Lured(), verify_chain([Person("alice").genesis], "alice")
    seen = phone.draft(STATE)
    forged = m.DraftPush(link=phone.device.draft(mallory), approval=seen.approval, time=0)
    await phone.refuses("approval", forged)


async def test_a_chain_that_nobody_has_approved_is_refused() -> None:
    phone, mallory = Lured(), Person("alice")
    state = verify_chain([mallory.genesis], "alice")
    chain = [mallory.genesis, phone.device.link(state, mallory.key)]
    await phone.refuses("approval", linked(*chain))
    at_once = m.Linked(id=1, response=200, links=chain, time=0)
    await phone.refuses("approval", first=at_once)


async def test_another_chain_than_the_approved_one_is_refused() -> None:
    phone, mallory = Lured(), Person("alice")
    forged = verify_chain([mallory.genesis], "alice")
    chain = [mallory.genesis, phone.device.link(forged, mallory.key)]
    await phone.refuses("forked", phone.draft(STATE), linked(*chain))


async def test_a_chain_without_this_device_is_refused() -> None:
    phone = Lured()
    stranger = Device().link(STATE, ALICE.key)
    await phone.refuses("member", phone.draft(STATE), linked(ALICE.genesis, stranger))


async def test_a_chain_with_other_keys_of_this_device_is_refused() -> None:
    phone, other = Lured(), Device()
    link = links.make_add(STATE, phone.device.key, ALICE.key, 2_000, other.keys)
    await phone.refuses("member", phone.draft(STATE), linked(ALICE.genesis, link))


async def test_a_forged_link_is_refused() -> None:
    phone = Lured()
    link = phone.device.link(STATE, Device().key)
    await phone.refuses("signer", phone.draft(STATE), linked(ALICE.genesis, link))


async def test_two_drafts_and_the_chain_of_the_first() -> None:
    phone, other = Lured(), Device()
    longer = verify_chain([ALICE.genesis, other.link(STATE, ALICE.key)], "alice")
    for first, second in ((STATE, longer), (longer, STATE)):
        phone.record = msgspec.structs.replace(phone.record, chain_seq=0, chain_head=bytes(32))
        assert len(await phone.meets(phone.draft(first), phone.draft(second))) == 2
        assert phone.record.chain_head == longer.head


async def test_a_server_that_answers_something_else() -> None:
    phone = Lured()
    wrong = m.Ok(id=1, response=200, time=0, position=0)
    with pytest.raises(ConnectFailed) as caught:
        await linking.join(Luring(first=wrong), GREETING, phone.who)
    assert caught.value.fields["reason"] == "protocol"


def test_a_link_that_adds_this_device_is_accepted() -> None:
    device = Device()
    check_draft(device.draft(STATE), "alice", device)
    with pytest.raises(ChainInvalid):
        check_draft(device.draft(STATE), altered(b"alice").decode(), device)
