# long module: every way into the server, and every way it fails
"""The way in: every proof that fails, every limit of the login, what a failure costs."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.core.model import AccountRecord, DeviceRecord, InviteRecord
from jim.crypto import handshake, links
from jim.crypto.chain import verify_chain
from jim.crypto.invites import new_token, token_hash
from jim.crypto.keys import SigningKey
from jim.crypto.transcript import Exchange
from jim.errors import AuthFailed
from jim.protocol import messages as m
from jim.server.handlers import login, recovery
from jim.server.handlers.login import usable_device
from jim.server.node import now_ms
from unit_tests.support.serving import QUICK, Serving, serving, until
from unit_tests.support.wire import Gone, Person, Wire

if TYPE_CHECKING:
    from pathlib import Path


def limits(**changes: Any) -> Any:
    return msgspec.structs.replace(QUICK, **changes)


async def failed(wire: Wire, message: msgspec.Struct) -> m.ErrorReply:
    wire.send(message)
    return await wire.error()


# --- auth -------------------------------------------------------------------------------------


async def wrong_signature(wire: Wire, person: Person) -> m.Auth:
    message = wire.auth(await wire.greet(), person)
    message.sig = bytes([message.sig[0] ^ 1]) + message.sig[1:]
    return message


async def unknown_name(wire: Wire, person: Person) -> m.Auth:
    return wire.auth(await wire.greet(), dataclasses.replace(person, name="mallory"))


async def impossible_name(wire: Wire, person: Person) -> m.Auth:
    return wire.auth(await wire.greet(), dataclasses.replace(person, name="a b"))


async def unknown_device(wire: Wire, person: Person) -> m.Auth:
    return wire.auth(await wire.greet(), Person(person.name))


async def somebody_elses_key(wire: Wire, person: Person) -> m.Auth:
    message = wire.auth(await wire.greet(), Person(person.name))
    message.device = person.device
    return message


async def unknown_head(wire: Wire, person: Person) -> m.Auth:
    exchange = await wire.greet()
    person.head = bytes(32)
    return wire.auth(exchange, person)


async def replayed(wire: Wire, person: Person) -> m.Auth:
    message = wire.auth(await wire.greet(), person)
    wire.send(m.Auth(**{**msgspec.structs.asdict(message), "sig": bytes(64)}))
    await wire.error()
    await wire.greet()
    return message


async def another_counter(wire: Wire, person: Person) -> m.Auth:
    message = wire.auth(await wire.greet(), person)
    message.counter += 1
    return message


@pytest.mark.parametrize(
    "attempt",
    [
        wrong_signature,
        unknown_name,
        impossible_name,
        unknown_device,
        somebody_elses_key,
        unknown_head,
        replayed,
        another_counter,
    ],
)
async def test_every_failed_proof_gets_the_same_answer(attempt: Any, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        error = await failed(wire, await attempt(wire, dataclasses.replace(person)))
        assert (error.code, error.response, error.fatal) == ("auth_failed", 402, False)
        assert error.error == "the proof of identity was not accepted"
        assert error.n is error.expected is error.reason is msgspec.UNSET
        # The first session has not been disturbed, and the right key still gets in here.
        assert len(server.service.node.connections) == 2
        await wire.login(person)


async def test_a_challenge_serves_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        exchange = await wire.greet()
        await failed(wire, wire.auth(exchange, Person("alice")))
        error = await failed(wire, wire.auth(exchange, person))
        assert error.code == "unexpected"


async def test_auth_without_hello_and_hello_twice(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        exchange = Exchange(bytes(32), bytes(32), bytes(32), bytes(32))
        assert (await failed(wire, wire.auth(exchange, Person("alice")))).code == "unexpected"
        await wire.greet()
        again = await failed(wire, m.Hello(id=5, v=1, cnonce=bytes(32)))
        assert (again.code, again.id) == ("unexpected", 5)
        await wire.greet()


async def test_messages_before_the_login_are_unauthorised(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        error = await failed(wire, m.Msg(id=3, n=1, to="bob", message="hi"))
        assert (error.code, error.response, error.id) == ("unauthorised", 401, 3)
        assert (await failed(wire, m.Ack(position=1))).code == "unauthorised"


async def test_another_version_ends_the_session(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        error = await failed(wire, m.Hello(id=1, v=2, cnonce=bytes(32)))
        assert (error.code, error.expected, error.fatal) == ("unsupported_version", 1, True)
        assert await wire.ended() == []


async def test_quit_before_the_login(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        wire.send(m.Quit(id="bye"))
        assert [item.id for item in await wire.ended()] == ["bye"]


# --- limits of the login ----------------------------------------------------------------------


async def test_limit_login_s(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(login_s=0.1)) as server:
        wire = await server.wire()
        wire.send(m.Hello(id=1, v=1, cnonce=handshake.new_nonce()))
        ending = (await wire.ended())[-1]
        assert isinstance(ending, m.Goodbye)
        assert ending.code == "login_timeout"


async def test_login_s_is_a_total_and_ends_with_the_login(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(login_s=600.0)) as server:
        wire = await server.wire()
        exchange = await wire.greet()
        (connection,) = server.service.node.connections
        deadline = connection._deadline
        assert deadline is not None
        assert deadline.when() == pytest.approx(connection.began_s + 600.0)
        wire.send(wire.registration(exchange, Person("alice")))
        await wire.welcome()
        assert deadline.cancelled()
        assert connection._deadline is None


async def test_limit_login_frame_bytes(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(login_frame_bytes=100)) as server:
        wire = await server.wire()
        wire.send_raw(b'{"action":"hello","x":"' + b"x" * 100)
        error = await wire.error()
        assert (error.code, error.limit_bytes, error.fatal) == ("frame_too_long", 100, True)
        assert await wire.ended() == []


async def test_limit_login_frames(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(login_frames=2)) as server:
        wire = await server.wire()
        wire.send(*(m.Probe(id=number) for number in range(1, 4)))
        errors = await wire.ended()
        assert [e.code for e in errors] == ["unauthorised"] * 2 + ["too_many_frames"]
        assert errors[-1].fatal


async def test_login_frames_count_per_attempt(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(login_frames=2, login_failures=9)) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        for _ in range(3):
            await failed(wire, wire.auth(await wire.greet(), Person("alice")))
        await wire.login(person)


async def test_limit_login_failures_and_the_penalty_after_it(tmp_path: Path) -> None:
    strict = limits(login_failures=2, penalty_start_s=30.0, exempt_networks=())
    async with serving(tmp_path, strict) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        for _ in range(2):
            await failed(wire, wire.auth(await wire.greet(), Person("alice")))
        ending = (await wire.ended())[-1]
        assert isinstance(ending, m.Goodbye)
        assert (ending.code, ending.response) == ("too_many_failures", 402)
        reader, writer = await server.raw()
        writer.write(b"{")
        assert b'"penalised"' in await reader.read()
        writer.close()
        # The account is not locked: the session that it has goes on.
        assert server.service.hub.is_online(1)
        assert person.name == "alice"


async def test_one_failure_and_hanging_up_is_a_failed_connection_too(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(exempt_networks=())) as server:
        wire = await server.wire()
        await failed(wire, wire.auth(await wire.greet(), Person("alice")))
        wire.close()
        await until(lambda: not server.service.node.connections)
        reader, writer = await server.raw()
        writer.write(b"{")
        assert b'"penalised"' in await reader.read()
        writer.close()


async def test_a_failure_before_a_success_costs_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(exempt_networks=())) as server:
        first, person = await server.join("alice")
        first.close()
        wire = await server.wire()
        await failed(wire, wire.auth(await wire.greet(), Person("alice")))
        await wire.login(person)
        wire.close()
        await until(lambda: not server.service.node.connections)
        await server.back(person)


@pytest.mark.parametrize(
    "frame",
    [b"nonsense\n", b"[]\n", b'{"action":"fly","id":1}\n', b'{"action":"hello"}\n', b"\xff\n"],
)
async def test_what_is_no_message_ends_a_session_before_the_login(
    frame: bytes, tmp_path: Path
) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        wire.send_raw(frame)
        ending = await wire.ended()
        assert [type(item) for item in ending] == [m.ErrorReply]
        assert ending[0].fatal


async def test_frames_behind_a_login_wait_for_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        auth = wire.auth(await wire.greet(), person)
        wire.send(auth, m.Sync(id="s", after=0), m.Probe(id="p"))
        kinds = [type(await wire.receive()) for _ in range(3)]
        assert kinds == [m.Welcome, m.Ok, m.Pong]


# --- registration -----------------------------------------------------------------------------


async def test_the_first_claim_owns_a_name_and_its_look(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("paypal")
        for name in ("paypal", "paypai"):
            wire = await server.wire()
            error = await failed(wire, wire.registration(await wire.greet(), Person(name)))
            assert (error.code, error.response) == ("name_taken", 409)


async def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        error = await failed(wire, wire.registration(await wire.greet(), Person("admin")))
        assert (error.code, error.reason) == ("name_invalid", "reserved")


async def test_the_same_registration_again_is_the_retry_of_a_lost_answer(tmp_path: Path) -> None:
    strict = limits(registrations_per_address=1, exempt_networks=())
    async with serving(tmp_path, strict) as server:
        wire, person = await server.join("alice")
        wire.close()
        again = await server.wire()
        assert (await again.register(person)).response == 201


async def test_limit_registrations_per_address(tmp_path: Path) -> None:
    strict = limits(registrations_per_address=2, exempt_networks=())
    async with serving(tmp_path, strict) as server:
        await server.join("alice")
        await server.join("bob")
        wire = await server.wire()
        error = await failed(wire, wire.registration(await wire.greet(), Person("carol")))
        assert (error.code, error.limit) == ("too_many_registrations", 2)


async def test_a_name_that_was_taken_does_not_count_as_a_registration(tmp_path: Path) -> None:
    strict = limits(registrations_per_address=2, exempt_networks=())
    async with serving(tmp_path, strict) as server:
        await server.join("alice")
        wire = await server.wire()
        error = await failed(wire, wire.registration(await wire.greet(), Person("alice")))
        assert error.code == "name_taken"
        await wire.register(Person("bob"))


async def test_a_forged_genesis_is_refused_before_any_write(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        person = Person("alice")
        person.genesis = msgspec.structs.replace(person.genesis, sig=bytes(64))
        wire = await server.wire()
        error = await failed(wire, wire.registration(await wire.greet(), person))
        assert error.code == "bad_request"
        another = Person("alice")
        stolen = wire.registration(await wire.greet(), another)
        stolen.sig = bytes(64)
        assert (await failed(wire, stolen)).code == "auth_failed"
        assert await server.store.find_account("alice") is None


async def test_closed_registration(tmp_path: Path) -> None:
    async with serving(tmp_path, registration="closed") as server:
        wire = await server.wire()
        error = await failed(wire, wire.registration(await wire.greet(), Person("alice")))
        assert error.code == "registration_closed"
        terms = m.parse_terms(wire.challenge.terms)  # type: ignore[union-attr]
        assert terms.policy.registration == "closed"


async def invited(server: Serving, uses: int = 1) -> str:
    token = new_token()
    expires_ms = now_ms() + 60_000
    await server.store.add_invite(InviteRecord(token_hash(token), uses, expires_ms), now_ms())
    return token


async def test_registration_by_invite(tmp_path: Path) -> None:
    async with serving(tmp_path, registration="invite") as server:
        token = await invited(server)
        wire = await server.wire()
        for invite, code in ((None, "invite_required"), (new_token(), "invite_invalid")):
            message = wire.registration(await wire.greet(), Person("alice"), invite)
            assert (await failed(wire, message)).code == code
        person = Person("alice")
        await wire.register(person, token)
        other = await server.wire()
        used_up = other.registration(await other.greet(), Person("bob"), token)
        assert (await failed(other, used_up)).code == "invite_invalid"
        again = await server.wire()
        await again.register(person, token)


# --- recovery ---------------------------------------------------------------------------------


async def recovered(wire: Wire, person: Person, key: SigningKey) -> m.Recover:
    exchange = await wire.greet()
    sig = handshake.prove_recover(key, exchange, name=person.name)
    return m.Recover(id=wire.next_id(), name=person.name, sig=sig)


async def enrolling(wire: Wire, person: Person, key: SigningKey) -> m.Enroll:
    wire.send(await recovered(wire, person, person.recovery))
    chain = await wire.expect(m.Chain)
    state = verify_chain(chain.links, person.name)
    link = links.make_add(state, key, person.recovery, 2_000)
    assert wire.exchange is not None
    sig = handshake.prove_enroll(key, wire.exchange, name=person.name, link=link)
    return m.Enroll(id=wire.next_id(), name=person.name, link=link, sig=sig)


async def test_the_recovery_words_bring_a_new_device_in(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire, key = await server.wire(), SigningKey.generate()
        enroll = await enrolling(wire, person, key)
        wire.send(enroll)
        welcome = await wire.welcome()
        assert (welcome.response, welcome.chain_seq, welcome.position) == (201, 1, 0)
        bob, _ = await server.join("bob")
        await wire.sync()
        await bob.say(1, "alice", "to both")
        assert (await wire.expect(m.Delivery)).message == "to both"


async def test_an_enrolment_may_be_repeated(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire, key = await server.wire(), SigningKey.generate()
        enroll = await enrolling(wire, person, key)
        wire.send(enroll)
        await wire.welcome()
        again = await server.wire()
        again.send(await recovered(again, person, person.recovery))
        await again.expect(m.Chain)
        assert again.exchange is not None
        sig = handshake.prove_enroll(key, again.exchange, name=person.name, link=enroll.link)
        again.send(m.Enroll(id=9, name="alice", link=enroll.link, sig=sig))
        assert (await again.welcome()).chain_seq == 1


async def test_a_device_that_joins_while_the_clock_is_wrong_is_not_taken_for_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        bob, _ = await server.join("bob")
        _, person = await server.join("alice")
        await bob.say(1, "alice", "waits for both")
        wire = await server.wire()
        enroll = await enrolling(wire, person, SigningKey.generate())
        with monkeypatch.context() as patch:
            patch.setattr(recovery, "now_ms", lambda: now_ms() - 3650 * 86_400_000)
            wire.send(enroll)
            await wire.welcome()
        assert (await bob.say(2, "alice", "waits too")).skipped is msgspec.UNSET


async def test_a_wrong_recovery_key_and_an_unknown_name_look_alike(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        for who in (person, Person("nobody-here")):
            error = await failed(wire, await recovered(wire, who, SigningKey.generate()))
            assert (error.code, error.fatal) == ("auth_failed", False)


async def test_enroll_needs_recover_first_and_its_own_account(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        _, bob = await server.join("bob")
        wire, key = await server.wire(), SigningKey.generate()
        enroll = await enrolling(wire, alice, key)
        other = await server.wire()
        await other.greet()
        assert (await failed(other, enroll)).code == "unexpected"
        other = await server.wire()
        other.send(await recovered(other, bob, bob.recovery))
        await other.expect(m.Chain)
        assert (await failed(other, enroll)).code == "auth_failed"


async def test_a_device_cannot_enroll_another_by_this_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire, key = await server.wire(), SigningKey.generate()
        wire.send(await recovered(wire, person, person.recovery))
        state = verify_chain((await wire.expect(m.Chain)).links, "alice")
        link = links.make_add(state, key, person.key, 2_000)
        assert wire.exchange is not None
        sig = handshake.prove_enroll(key, wire.exchange, name="alice", link=link)
        error = await failed(wire, m.Enroll(id=1, name="alice", link=link, sig=sig))
        assert error.code == "bad_request"


async def test_limit_devices(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(devices=2)) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        wire.send(await enrolling(wire, person, SigningKey.generate()))
        await wire.welcome()
        third = await server.wire()
        error = await failed(third, await enrolling(third, person, SigningKey.generate()))
        assert (error.code, error.response) == ("too_many_devices", 403)


async def test_an_older_head_of_the_chain_is_accepted(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, person = await server.join("alice")
        wire = await server.wire()
        wire.send(await enrolling(wire, person, SigningKey.generate()))
        await wire.welcome()
        welcome = await (await server.wire()).login(person)
        assert welcome.chain_seq == 1
        assert welcome.chain_head != person.head


class Gated:
    """A store whose last step of a login waits for the test."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def standing(self, device_id: int) -> Any:
        self.calls += 1
        self.entered.set()
        await self.gate.wait()
        return await self._store.standing(device_id)


async def test_a_client_that_has_left_before_the_end_of_its_login_is_not_online(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, wrap=Gated) as server:
        store: Any = server.store
        wire, person = await server.join("alice")
        wire.close()
        await until(lambda: not server.service.node.connections)
        store.gate.clear()
        store.entered.clear()
        wire = await server.wire()
        wire.send(wire.auth(await wire.greet(), person))
        await store.entered.wait()
        (connection,) = server.service.node.connections
        assert connection.held, "nothing more is read during a step of the login"
        connection.abort()
        await until(lambda: not server.service.node.connections)
        store.gate.set()
        await until(lambda: not server.service.node._tasks)
        assert not server.service.hub.is_online(1)
        await server.back(person)


async def test_logins_of_one_device_come_one_after_the_other(tmp_path: Path) -> None:
    async with serving(tmp_path, wrap=Gated) as server:
        store: Any = server.store
        _, person = await server.join("alice")
        other, _ = await server.join("bob")
        store.gate.clear()
        store.calls = 0
        wires = [await server.wire() for _ in range(3)]
        for wire in wires:
            wire.send(wire.auth(await wire.greet(), person))
        await until(lambda: store.calls == 1)
        for _ in range(3):  # the others have been read: this comes behind them
            other.send(m.Presence(id=1))
            await other.expect(m.Contacts)
        assert store.calls == 1, "the next login reads the standing after the one before it ended"
        store.gate.set()
        for wire in wires:
            await wire.expect(m.Welcome)


async def test_who_has_logged_in_no_longer_counts_as_unauthenticated(tmp_path: Path) -> None:
    strict = limits(unauthenticated_per_address=1, exempt_networks=())
    async with serving(tmp_path, strict) as server:
        for name in ("alice", "bob", "carol"):
            await server.join(name)
        assert server.service.admission.unauthenticated == 0


def test_a_revoked_device_is_as_good_as_unknown() -> None:
    device = DeviceRecord(device_id=1, device="d" * 16, login_key=bytes(32), revoked=True)
    account = AccountRecord(account_id=1, name="alice", links=[], devices=[device])
    assert usable_device(account, "d" * 16) is None
    kept = msgspec.structs.replace(device, revoked=False)
    account = msgspec.structs.replace(account, devices=[kept])
    assert usable_device(account, "d" * 16) is kept
    assert usable_device(account, "e" * 16) is None
    assert usable_device(None, "d" * 16) is None


async def test_a_client_that_leaves_during_its_login_is_not_online(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire, person = await server.join("alice")
        wire.close()
        await until(lambda: not server.service.node.connections)
        for _ in range(5):
            wire = await server.wire()
            wire.send(wire.auth(await wire.greet(), person))
            wire.writer.transport.abort()
        await until(lambda: not server.service.node.connections)
        await until(lambda: not server.service.node._tasks)
        assert not server.service.hub.is_online(1)
        assert server.service.node.locks._locks == {}
        with pytest.raises(Gone):
            await wire.receive()


@pytest.mark.parametrize("error", [ZeroDivisionError(), AuthFailed()])
async def test_a_login_that_fails_after_its_session_has_begun_leaves_nobody_online(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        wire, person = await server.join("alice")
        wire.close()
        await until(lambda: not server.service.node.connections)

        def broken(_: Any) -> bytes:
            raise error

        monkeypatch.setattr(login, "_knows", lambda *_: True)
        monkeypatch.setattr(login, "link_hash", broken)
        wire = await server.wire()
        wire.send(wire.auth(await wire.greet(), person))
        assert (await wire.error()).code in {"internal", "auth_failed"}
        await until(lambda: not server.service.hub.is_online(1))
        monkeypatch.undo()
        if isinstance(error, AuthFailed):
            await wire.login(person)  # on the same connection: nothing is left that it replaces
        else:
            assert await wire.ended() == []
            await server.back(person)
        assert server.service.hub.is_online(1)
