"""`keys` and `claim`: brought once, taken once, and not too often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.core.limits import Limits
from jim.crypto.device_keys import verify_key
from jim.protocol import messages as m
from unit_tests.support.serving import Serving, serving
from unit_tests.support.wire import Person, Wire

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(
    messages_per_s=0, bytes_per_s=0, one_time_keys=4, few_one_time_keys=1, claims_per_minute=4
)


async def bring(wire: Wire, person: Person, *numbers: int) -> int:
    keys = [person.sign_key(number) for number in numbers]
    wire.send(m.Keys(id=wire.next_id(), one_time=keys))
    return (await wire.expect(m.KeysReply)).one_time_keys


async def claim(wire: Wire, name: str, *people: Person) -> dict[str, m.PublicKey]:
    devices = [each.device for each in people]
    wire.send(m.Claim(id=wire.next_id(), name=name, devices=devices))
    return (await wire.expect(m.Claimed)).keys


async def two(server: Serving) -> tuple[Wire, Person, Wire]:
    alices, alice = await server.join(Person.keyed("alice"))
    bobs, _ = await server.join(Person.keyed("bob"))
    return alices, alice, bobs


async def test_keys_are_claimed_once_each_and_then_the_fallback_key(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as server:
        alices, alice, bobs = await two(server)
        assert await bring(alices, alice, 1, 2) == 2
        assert await bring(alices, alice, 1, 2, 3) == 3
        for number in (1, 2, 3, 0):
            keys = await claim(bobs, "Alice", alice)
            assert keys[alice.device].id == number
            verify_key(keys[alice.device], alice.device, alice.genesis.ed)
        alices.close()
        again = await server.wire()
        assert (await again.login(alice)).one_time_keys == 0
        assert await bring(again, alice, 4) == 1


async def test_a_login_tells_how_many_keys_are_left(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as server:
        alices, alice, bobs = await two(server)
        await bring(alices, alice, 1, 2, 3)
        await claim(bobs, "alice", alice)
        again = await server.wire()
        assert (await again.login(alice)).one_time_keys == 2


async def test_a_device_with_few_keys_left_is_asked_for_more(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as server:
        alices, alice, bobs = await two(server)
        await bring(alices, alice, 1, 2, 3)
        for _ in range(3):
            await claim(bobs, "alice", alice)
        left = [(await alices.expect(m.KeysLeft)).one_time_keys for _ in range(2)]
        assert left == [1, 0], "not with two left"


async def test_too_many_claims_of_one_account_on_one_device_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as server:
        alices, alice, bobs = await two(server)
        carols, carol = await server.join(Person.keyed("carol"))
        await bring(alices, alice, 1, 2, 3, 4)
        for _ in range(3):
            await claim(bobs, "alice", alice)
        await claim(bobs, "carol", carol)
        await claim(bobs, "alice", alice)
        bobs.send(m.Claim(id=99, name="alice", devices=[alice.device]))
        error = await bobs.error()
        assert (error.id, error.code) == (99, "too_often")
        assert isinstance(error.retry_after_ms, int)
        assert 0 < error.retry_after_ms <= 60_000
        assert await claim(bobs, "carol", carol), "another device"
        assert (await claim(carols, "alice", alice))[alice.device].id == 0, "another account"


async def test_what_nobody_has_is_left_out(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as server:
        _, alice, bobs = await two(server)
        _, plain = await server.join("carol")
        assert await claim(bobs, "carol", plain) == {}
        assert set(await claim(bobs, "alice", alice, plain)) == {alice.device}
        bobs.send(m.Claim(id=1, name="nobody", devices=[]))
        assert (await bobs.error()).code == "recipient_unknown"


async def test_a_device_without_keys_brings_none(tmp_path: Path) -> None:
    async with serving(tmp_path, LIMITS) as server:
        alices, alice, _ = await two(server)
        carols, _ = await server.join("carol")
        carols.send(m.Keys(id=1, one_time=[alice.sign_key(1)]))
        assert (await carols.error()).code == "bad_request"
        assert (await claim(carols, "alice", alice))[alice.device].id == 0
        assert await bring(alices, alice, 2) == 1
