"""A conversation through a whole server, on both event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from blockbuster import blockbuster_ctx

from jim.protocol import messages as m
from unit_tests.support.serving import LOOPS, Serving, run_on, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("loop", LOOPS)
def test_what_alice_says_is_with_bob_and_nobody_else(loop: str, tmp_path: Path) -> None:
    async def talk() -> None:
        async with serving(tmp_path) as server:
            with blockbuster_ctx("jim"):
                await converse(server)

    async def converse(server: Serving) -> None:
        alice, _ = await server.join("alice")
        bob, _ = await server.join("bob")
        carol, _ = await server.join("carol")
        for wire in (alice, bob, carol):
            await wire.sync()
        stored = await alice.say(1, "Bob", "привет 👋")
        assert (stored.n, stored.seq, stored.response) == (1, 1, 202)
        got = await bob.expect(m.Delivery)
        assert (got.sender, got.to, got.message) == ("alice", "bob", "привет 👋")
        assert (got.position, got.seq, got.n, got.time) == (1, 1, 1, stored.time)
        bob.ack(1)
        news = await alice.expect(m.Delivered)
        assert (news.name, news.seq) == ("bob", 1)
        carol.send(m.Quit(id=1))
        assert [type(item) for item in await carol.ended()] == [m.Goodbye]

    run_on(loop, talk())


async def test_what_waits_comes_in_order_at_the_next_login(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        bob, person = await server.join("bob")
        bob.send(m.Quit(id=1))
        await bob.ended()
        alice, _ = await server.join("alice")
        for n in range(1, 11):
            await alice.say(n, "bob", f"number {n}")
        bob = await server.back(person)
        assert (await bob.sync()).position == 10
        texts = [(await bob.expect(m.Delivery)).message for _ in range(10)]
        assert texts == [f"number {n}" for n in range(1, 11)]


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, bob_person = await server.join("bob")
        alice, alice_person = await server.join("alice")
        await alice.say(1, "bob", "before")
        fingerprint = server.service.node.identity.public
    async with serving(tmp_path) as server:
        assert server.service.node.identity.public == fingerprint
        alice = await server.wire()
        welcome = await alice.login(alice_person)
        assert welcome.last_n == 1
        await alice.say(2, "bob", "after")
        bob = await server.back(bob_person)
        await bob.sync()
        assert [(await bob.expect(m.Delivery)).message for _ in range(2)] == ["before", "after"]


async def test_an_unknown_recipient_is_a_404_and_does_not_use_the_number(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        alice, _ = await server.join("alice")
        await server.join("bob")
        alice.post(1, "nobody-here", "lost?")
        error = await alice.error()
        assert (error.code, error.response, error.n, error.fatal) == (
            "recipient_unknown",
            404,
            1,
            False,
        )
        assert (await alice.say(1, "bob", "found")).n == 1


@pytest.mark.parametrize("addressee", ["nobody-here", "nobody", "no name", "x" * 100])
async def test_a_refused_message_in_the_middle_of_a_pipelined_burst(
    tmp_path: Path, addressee: str
) -> None:
    async with serving(tmp_path) as server:
        bob, _ = await server.join("bob")
        await bob.sync()
        alice, _ = await server.join("alice")
        alice.send(
            *(
                m.Msg(id=n, n=n, to=addressee if n == 4 else "bob", message=str(n))
                for n in range(1, 9)
            )
        )
        # What cannot even be a name is refused before the store is asked: answers go by their id.
        answers = sorted([await alice.receive() for _ in range(8)], key=lambda a: a.id)
        assert [a.id for a in answers] == list(range(1, 9))
        assert [type(a) for a in answers] == [m.Stored] * 3 + [m.ErrorReply] * 5
        errors = [a for a in answers if isinstance(a, m.ErrorReply)]
        assert [e.code for e in errors] == ["recipient_unknown"] + ["number_gap"] * 4
        assert [e.expected for e in errors[1:]] == [4] * 4
        for n in range(4, 8):
            alice.post(n, "bob", str(n + 1))
        texts = [(await bob.expect(m.Delivery)).message for _ in range(7)]
        assert texts == ["1", "2", "3", "5", "6", "7", "8"]


async def test_a_repeated_message_gets_the_first_answer_and_is_delivered_once(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as server:
        bob, _ = await server.join("bob")
        await bob.sync()
        alice, person = await server.join("alice")
        first = await alice.say(1, "bob", "once")
        alice = await server.back(person)
        again = await alice.say(1, "bob", "once")
        assert (again.seq, again.time) == (first.seq, first.time)
        await alice.say(2, "bob", "two")
        assert [(await bob.expect(m.Delivery)).message for _ in range(2)] == ["once", "two"]


async def test_the_mark_of_the_last_message_comes_back_at_the_next_login(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        alice, person = await server.join("alice")
        for n, mark in enumerate(("aa", "bb"), 1):
            alice.send(m.Msg(id=n, n=n, to="alice", message="x", mark=mark))
            await alice.expect(m.Stored)
    async with serving(tmp_path) as server:
        alice = await server.wire()
        welcome = await alice.login(person)
        assert (welcome.last_n, welcome.last_mark) == (2, "bb")
        await alice.say(3, "alice", "from a client that knows no marks")
        welcome = await (await server.wire()).login(person)
        assert (welcome.last_n, welcome.last_mark) == (3, msgspec.UNSET)


async def test_two_objects_in_one_segment_and_one_object_in_many(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        alice, _ = await server.join("alice")
        await server.join("bob")
        alice.send_raw(
            b'{"action":"msg","id":1,"n":1,"to":"bob","message":"a"}\n'
            b'{"action":"msg","id":2,"n":2,"to":"bob","message":"b"}\n{"action":"pro'
        )
        assert [(await alice.expect(m.Stored)).n for _ in range(2)] == [1, 2]
        for byte in b'be","id":"x","future":[1]}\n':
            alice.send_raw(bytes([byte]))
        assert (await alice.expect(m.Pong)).id == "x"


async def test_presence_receipts_and_watching(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        alice, _ = await server.join("alice")
        bob, bob_person = await server.join("bob")
        await bob.say(1, "alice", "hello")
        await alice.sync()
        alice.ack((await alice.expect(m.Delivery)).position)
        await bob.expect(m.Delivered)
        alice.send(m.Presence(id=1, watch=True))
        assert (await alice.expect(m.Contacts)).online == ["bob"]
        bob.send(m.Receipts(id=7, names=["ALICE", "nobody", "  "]))
        assert (await bob.expect(m.ReceiptsReply)).delivered == {"alice": 1}
        bob.send(m.Quit(id=2))
        gone = await alice.expect(m.PresenceChange)
        assert (gone.name, gone.online) == ("bob", False)
        await server.back(bob_person)
        assert (await alice.expect(m.PresenceChange)).online is True


async def test_quit_waits_until_what_was_sent_before_is_stored(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, bob_person = await server.join("bob")
        alice, _ = await server.join("alice")
        alice.send(
            *(m.Msg(id=n, n=n, to="bob", message=str(n)) for n in range(1, 33)), m.Quit(id=99)
        )
        answers = await alice.ended()
        assert [type(a) for a in answers] == [m.Stored] * 32 + [m.Goodbye]
        assert answers[-1].code == "quit"
        bob = await server.wire()
        assert (await bob.login(bob_person)).position == 32


async def test_a_second_login_of_a_device_replaces_the_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        first, person = await server.join("alice")
        second = await server.back(person)
        ending = (await first.ended())[-1]
        assert isinstance(ending, m.Goodbye)
        assert (ending.code, ending.response) == ("replaced", 409)
        second.send(m.Probe(id=1))
        assert (await second.expect(m.Pong)).id == 1
        assert server.service.hub.is_online(1)


async def test_many_logins_of_one_device_at_once_leave_exactly_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wires = [await server.wire() for _ in range(6)]
        exchanges = [await wire.greet() for wire in wires]
        for wire, exchange in zip(wires, exchanges, strict=True):
            wire.send(wire.auth(exchange, person))
        await wires[-1].expect(m.Welcome)
        alive = []
        for wire in wires:
            wire.send(m.Probe(id=1))
            alive.append(await wire.ended_or(m.Pong) is not None)
        assert alive == [False] * 5 + [True]


async def test_a_proof_that_comes_late_does_not_end_the_session_of_a_later_connection(
    tmp_path: Path,
) -> None:
    """Found by `python -m reliability.virtual`, seed 2477: the late one was of a killed process."""
    async with serving(tmp_path) as server:
        first, person = await server.join("alice")
        late = await server.wire()
        exchange = await late.greet()
        session = await server.back(person)
        late.send(late.auth(exchange, person))
        error = await late.error()
        assert (error.code, error.fatal) == ("replaced", True)
        session.send(m.Probe(id=1))
        assert (await session.expect(m.Pong)).id == 1
        assert (await first.ended())[-1].code == "replaced"
