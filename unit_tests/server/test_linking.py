# long module: the relay, every end of waiting and every limit of it
"""A new device and one of its account meet over the server, which relays and tells nobody more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.crypto import chain, links
from jim.protocol import messages as m
from unit_tests.support.linking import Device, account_of, added, altered, chain_of, extend
from unit_tests.support.serving import QUICK, Serving, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.model import AccountRecord
    from unit_tests.support.wire import Wire


def limits(**changes: Any) -> Any:
    return msgspec.structs.replace(QUICK, **changes)


async def asked(wire: Wire) -> list[m.Offer]:
    wire.send(m.Offers(id="offers"))
    return (await wire.expect(m.OffersReply)).offers


async def refused(wire: Wire, message: msgspec.Struct) -> m.ErrorReply:
    wire.send(message)
    return await wire.error()


async def refusal(server: Serving, device: Device, wanted: str, **changes: Any) -> m.ErrorReply:
    wire = await server.wire()
    request = device.request(await wire.greet(), wanted)
    return await refused(wire, msgspec.structs.replace(request, **changes))


def asking(offer: m.Offer, link: m.Link) -> m.Draft:
    return m.Draft(id="draft", offer=offer.offer, link=link, approval=b"a" * 32)


async def test_a_device_is_linked_and_logs_in_on_the_same_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        old, alice = await server.join("alice")
        device, new = Device(), await server.wire()
        waiting = await device.wait(new, "Alice")
        assert (waiting.response, waiting.expires_s) == (202, 600)
        (offer,) = await asked(old)
        assert (offer.login_key, offer.ed, offer.curve) == (device.login_key, *keys_of(device))
        assert (offer.fallback, offer.address, offer.client) == (
            device.fallback,
            "127.0.0.1",
            "test",
        )
        assert offer.age_s < 20
        state = await chain_of(server, "alice")
        draft = device.draft(state)
        old.send(asking(offer, draft))
        pushed = await new.expect(m.DraftPush)
        assert (pushed.link, pushed.approval) == (draft, b"a" * 32)
        proven = links.prove_add(pushed.link, device.key)
        new.send(m.Proof(proof=proven.proof))
        assert (await old.expect(m.ProofReply)).proof == proven.proof
        signed = links.sign_add(proven, alice.key)
        await extend(server, signed)
        linked = await new.expect(m.Linked)
        assert linked.links == [alice.genesis, signed]
        assert linked.id is linked.response is msgspec.UNSET
        assert await asked(old) == []
        alice.key, alice.head = device.key, chain.verify_chain(linked.links, "alice").head
        assert (await new.login(alice)).device == device.device


def keys_of(device: Device) -> tuple[bytes, bytes]:
    return device.ed, device.curve


async def test_what_a_stranger_learns_of_a_name_is_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("alice")
        answers = []
        for name in ("alice", "zoe"):
            answer = await Device().wait(await server.wire(), name)
            answers.append(msgspec.structs.replace(answer, time=0))
        assert answers[0] == answers[1]


async def test_nobody_else_sees_an_offer_or_reaches_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        alice, _ = await server.join("alice")
        bob, _ = await server.join("bob")
        device = Device()
        await device.wait(await server.wire(), "alice")
        (offer,) = await asked(alice)
        assert await asked(bob) == []
        draft = asking(offer, device.draft(await chain_of(server, "bob")))
        assert (await refused(bob, draft)).code == "offer_gone"


async def test_a_draft_for_another_device_or_account_is_not_passed_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire, _ = await server.join("alice")
        device = Device()
        await device.wait(await server.wire(), "alice")
        (offer,) = await asked(wire)
        state = await chain_of(server, "alice")
        for link in (
            Device().draft(state),
            msgspec.structs.replace(device.draft(state), acct="bob"),
        ):
            assert (await refused(wire, asking(offer, link))).code == "bad_request"


async def test_a_device_that_is_in_the_chain_already_is_told_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        device, wire = Device(), await server.wire()
        account = await added(server, alice, device)
        wire.send(device.request(await wire.greet(), "alice"))
        linked = await wire.receive()
        assert isinstance(linked, m.Linked)
        assert (linked.id, linked.response, linked.links) == ("link", 200, account.links)
        assert len(server.service.node.offers) == 0
        alice.key, alice.head = device.key, chain.verify_chain(account.links, "alice").head
        await wire.login(alice)


async def test_a_chain_is_shown_only_to_who_holds_a_key_of_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        device, thief = Device(), Device()
        await added(server, alice, device)
        wire = await server.wire()
        request = thief.request(await wire.greet(), "alice")
        forged = msgspec.structs.replace(request, login_key=device.login_key)
        assert (await refused(wire, forged)).code == "auth_failed"


@pytest.mark.parametrize("field", ["login_key", "ed", "curve", "sig", "name", "fallback"])
async def test_a_request_is_signed_whole(field: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        device = Device()
        other: Any = device.request((await (await server.wire()).greet()), "alice")
        value: Any = "bob" if field == "name" else getattr(other, field)
        if isinstance(value, bytes):
            value = altered(value)
        if field == "fallback":
            value = msgspec.structs.replace(value, id=2)
        error = await refusal(server, device, "alice", **{field: value})
        assert (error.code, error.response) == ("auth_failed", 402)


async def test_a_fallback_key_that_another_device_has_signed_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        device = Device()
        device.fallback = Device().fallback
        assert (await refusal(server, device, "alice")).code == "auth_failed"


async def test_a_replayed_request_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        device = Device()
        first, second = await server.wire(), await server.wire()
        request = device.request(await first.greet(), "alice")
        await second.greet()
        assert (await refused(second, request)).code == "auth_failed"


async def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        error = await refusal(server, Device(), "a b")
        assert (error.code, error.reason) == ("name_invalid", "characters")


async def test_a_revoked_device_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        device = Device()
        account = await added(server, alice, device)
        devices = [
            msgspec.structs.replace(each, revoked=each.device == device.device)
            for each in account.devices
        ]

        async def find(name: str) -> AccountRecord:
            return msgspec.structs.replace(account, devices=devices)

        monkeypatch.setattr(server.store, "find_account", find)
        error = await refusal(server, device, "alice")
        assert (error.code, error.fatal) == ("revoked", True)


async def test_a_link_that_comes_while_the_chain_is_read_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        device, wire = Device(), await server.wire()
        find, before = server.store.find_account, await account_of(server, "alice")
        link = device.link(await chain_of(server, "alice"), alice.key)

        async def late(name: str) -> AccountRecord:
            monkeypatch.setattr(server.store, "find_account", find)
            await extend(server, link)
            return before

        exchange = await wire.greet()
        monkeypatch.setattr(server.store, "find_account", late)
        wire.send(device.request(exchange, "alice"))
        linked = await wire.receive()
        assert isinstance(linked, m.Linked)
        assert linked.links[-1] == link


# --- the end of waiting -----------------------------------------------------------------------


async def test_limit_linking_s(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(linking_s=0.2, login_s=600.0)) as server:
        wire = await server.wire()
        await Device().wait(wire, "alice")
        (ending,) = await wire.ended()
        assert isinstance(ending, m.Goodbye)
        assert (ending.code, ending.response) == ("link_expired", 410)
        assert len(server.service.node.offers) == 0


async def test_waiting_outlives_the_time_for_a_login_which_begins_anew_after_it(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, limits(linking_s=600.0, login_s=30.0)) as server:
        _, alice = await server.join("alice")
        device, wire = Device(), await server.wire()
        await device.wait(wire, "alice")
        (connection,) = (c for c in server.service.node.connections if c.began_s and not active(c))
        now_s = server.service.node.loop.time()
        assert connection._deadline is not None
        assert connection._deadline.when() == pytest.approx(now_s + 600.0, abs=20.0)
        await added(server, alice, device)
        await wire.expect(m.Linked)
        assert connection._deadline.when() == pytest.approx(now_s + 30.0, abs=20.0)


def active(connection: Any) -> bool:
    return connection._deadline is None


async def test_a_device_that_waits_is_asked_for_a_sign_of_life(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire, node = await server.wire(), server.service.node
        await Device().wait(wire, "alice")
        liveness = server.service._liveness
        assert liveness is not None
        liveness.sweep(node.loop.time() + 100.0)
        probe = await wire.expect(m.Probe)
        wire.send(m.Pong(id=probe.id), m.Probe(id="mine"))
        assert (await wire.expect(m.Pong)).id == "mine"
        assert len(node.offers) == 1
        liveness.sweep(node.loop.time() + 160.0)
        assert (await wire.ended())[-1].code == "idle"


async def test_who_hangs_up_waits_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        old, _ = await server.join("alice")
        device, new = Device(), await server.wire()
        await device.wait(new, "alice")
        (offer,) = await asked(old)
        old.send(asking(offer, device.draft(await chain_of(server, "alice"))))
        await new.expect(m.DraftPush)
        new.close()
        assert (await old.error()).code == "offer_gone"
        assert await asked(old) == []


async def test_who_leaves_politely_waits_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        await Device().wait(wire, "alice")
        wire.send(m.Quit(id="bye"))
        assert [item.id for item in await wire.ended()] == ["bye"]
        assert len(server.service.node.offers) == 0


async def test_limit_linking_proof_s(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(linking_proof_s=0.05)) as server:
        old, _ = await server.join("alice")
        device, new = Device(), await server.wire()
        await device.wait(new, "alice")
        (offer,) = await asked(old)
        draft = asking(offer, device.draft(await chain_of(server, "alice")))
        error = await refused(old, draft)
        assert (error.code, error.response) == ("offer_gone", 404)
        await new.expect(m.DraftPush)
        new.send(m.Proof(proof=bytes(64)), m.Probe(id="late"))
        await new.expect(m.Pong)
        assert len(await asked(old)) == 1


async def test_a_second_draft_ends_the_wait_for_the_first(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        old, _ = await server.join("alice")
        device, new = Device(), await server.wire()
        await device.wait(new, "alice")
        (offer,) = await asked(old)
        draft = asking(offer, device.draft(await chain_of(server, "alice")))
        old.send(draft)
        await new.expect(m.DraftPush)
        draft.id = "again"
        old.send(draft)
        await new.expect(m.DraftPush)
        assert (await old.error()).id == "draft"
        new.send(m.Proof(proof=b"p" * 64))
        reply = await old.expect(m.ProofReply)
        assert (reply.id, reply.proof) == ("again", b"p" * 64)


# --- limits -----------------------------------------------------------------------------------


async def test_limit_linking_devices_per_address_and_its_exemption(tmp_path: Path) -> None:
    strict = limits(linking_devices_per_address=1, exempt_networks=())
    async with serving(tmp_path, strict) as server:
        await Device().wait(await server.wire(), "alice")
        error = await refusal(server, Device(), "bob")
        assert (error.code, error.limit) == ("too_often", 1)
        assert error.retry_after_ms > 0  # type: ignore[operator]
        server.service.node.offers.apply(limits(linking_devices_per_address=2))
        await Device().wait(await server.wire(), "bob")


async def test_limit_linking_devices_per_name(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(linking_devices_per_name=1)) as server:
        await Device().wait(await server.wire(), "alice")
        assert (await refusal(server, Device(), "Alice")).code == "too_often"
        await Device().wait(await server.wire(), "bob")


async def test_limit_linking_devices(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(linking_devices=1)) as server:
        wire = await server.wire()
        await Device().wait(wire, "alice")
        assert (await refusal(server, Device(), "bob")).code == "too_often"
        wire.close()
        await until(lambda: not server.service.node.offers._offers)
        await Device().wait(await server.wire(), "bob")


async def test_limit_linking_frames(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(linking_frames=5, login_frames=2)) as server:
        wire = await server.wire()
        await Device().wait(wire, "alice")
        wire.send(*(m.Probe(id=number) for number in range(6)))
        got = await wire.ended()
        assert [type(item) for item in got] == [m.Pong] * 5 + [m.ErrorReply]
        assert got[-1].code == "too_many_frames"


async def test_a_device_that_waits_may_do_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        for message, code in (
            (m.Msg(id=1, n=1, to="bob", message="hi"), "unauthorised"),
            (m.Offers(id=1), "unauthorised"),
            (m.Hello(id=1, v=1, cnonce=bytes(32)), "unexpected"),
        ):
            wire = await server.wire()
            await Device().wait(wire, "alice")
            error = await refused(wire, message)
            assert (error.code, error.fatal) == (code, True)
            assert await wire.ended() == []
        assert alice.name == "alice"
        await until(lambda: not server.service.node.offers._offers)


async def test_a_proof_before_waiting_is_out_of_place(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        wire = await server.wire()
        await wire.greet()
        assert (await refused(wire, m.Proof(proof=bytes(64)))).code == "unexpected"


async def test_failed_offers_end_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(login_failures=2)) as server:
        wire = await server.wire()
        for _ in range(2):
            request = Device().request(await wire.greet(), "alice")
            await refused(wire, msgspec.structs.replace(request, sig=bytes(64)))
        assert (await wire.ended())[-1].code == "too_many_failures"


async def test_a_fault_of_one_waiting_device_does_not_reach_who_extends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        _, alice = await server.join("alice")
        device, wire = Device(), await server.wire()
        await device.wait(wire, "alice")

        def fail(*_: object, **__: object) -> None:
            raise MemoryError

        monkeypatch.setattr("jim.server.newcomer.m.Linked", fail)
        await added(server, alice, device)
        assert (await wire.ended())[-1].code == "internal"


async def test_going_down_ends_the_wait(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        old, _ = await server.join("alice")
        device, new = Device(), await server.wire()
        await device.wait(new, "alice")
        (offer,) = await asked(old)
        old.send(asking(offer, device.draft(await chain_of(server, "alice"))))
        await new.expect(m.DraftPush)
        endings = asyncio.gather(new.ended(), old.ended())
        await server.service.drain()
        assert [ending[-1].code for ending in await endings] == ["shutdown", "shutdown"]
