"""A running server at the limits of admission: too many at once, too often, and after failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.protocol import messages as m
from jim.server import node as node_module
from unit_tests.support.serving import QUICK, Serving, serving, until
from unit_tests.support.wire import Person

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.limits import Limits

DAY_MS = 86_400_000


def limits(**changes: Any) -> Limits:
    return msgspec.structs.replace(QUICK, exempt_networks=(), **changes)


async def refusal(server: Serving) -> dict[str, Any]:
    """Connect as who speaks JIM without TLS: the refusal is then a line to read."""
    reader, writer = await server.raw()
    writer.write(b"{")
    answer: dict[str, Any] = json.loads(await reader.read())
    writer.close()
    return answer


async def test_limit_unauthenticated_full(tmp_path: Path) -> None:
    tight = limits(unauthenticated_start=2, unauthenticated_full=2, unauthenticated_per_address=9)
    async with serving(tmp_path, tight) as server:
        first, _ = await server.wire(), await server.wire()
        answer = await refusal(server)
        assert (answer["code"], answer["limit"]) == ("too_many_connections", 2)
        await first.register(Person("alice"))
        # Who has logged in counts no more: there is room again.
        await server.wire()


@pytest.mark.parametrize(("chance", "refused"), [(0.29, True), (0.31, False)])
async def test_limit_unauthenticated_start_and_rate(
    chance: float, refused: bool, tmp_path: Path
) -> None:
    tight = limits(
        unauthenticated_start=2,
        unauthenticated_rate_percent=30,
        unauthenticated_full=100,
        unauthenticated_per_address=9,
    )
    async with serving(tmp_path, tight) as server:
        admission: Any = server.service.admission
        admission._chance = lambda: 0.0
        for _ in range(tight.unauthenticated_start):
            await server.wire()
        admission._chance = lambda: chance
        if refused:
            assert (await refusal(server))["code"] == "too_many_connections"
        else:
            await (await server.wire()).greet()


async def test_limit_unauthenticated_per_address(tmp_path: Path) -> None:
    async with serving(tmp_path, limits(unauthenticated_per_address=1)) as server:
        await server.wire()
        answer = await refusal(server)
        assert (answer["code"], answer["limit"]) == ("too_many_connections", 1)


async def test_limit_new_connections_per_address_and_window(tmp_path: Path) -> None:
    tight = limits(new_connections_per_address=3, new_connections_window_s=600.0)
    async with serving(tmp_path, tight) as server:
        for _ in range(3):
            (await server.wire()).close()
            await until(lambda: not server.service.node.connections)
        answer = await refusal(server)
        assert (answer["code"], answer["limit"]) == ("too_many_connections", 3)
        assert 590_000 < answer["retry_after_ms"] <= 600_000
        (source,) = server.service.admission._sources.values()
        source.newcomers.ends_s -= 600.0  # the window passes
        await (await server.wire()).greet()


async def test_limit_penalty_start_s_doubles_up_to_penalty_max_s(tmp_path: Path) -> None:
    tight = limits(login_failures=1, penalty_start_s=30.0, penalty_max_s=100.0)
    async with serving(tmp_path, tight) as server:
        await server.join("alice")
        admission = server.service.admission
        for penalty_s in (30.0, 60.0, 100.0, 100.0):
            wire = await server.wire()
            wire.send(wire.auth(await wire.greet(), Person("alice")))
            await wire.ended()
            await until(lambda: len(server.service.node.connections) == 1)
            answer = await refusal(server)
            assert answer["code"] == "penalised"
            assert (penalty_s - 10) * 1_000 < answer["retry_after_ms"] <= penalty_s * 1_000
            (source,) = admission._sources.values()
            source.penalty_ends_s = server.service.node.loop.time()  # it has served its time
        assert server.service.hub.is_online(1), "an account is never locked"


async def test_limit_waiting_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path, limits(waiting_days=2)) as server:
        bob, person = await server.join("bob")
        bob.close()
        alice, _ = await server.join("alice")
        await alice.say(1, "bob", "in time")
        started_ms = node_module.now_ms()
        committer: Any = server.service.committer

        def wait_ms(passed_ms: int) -> None:
            for clock in ("_now_ms", "_steady_ms"):
                monkeypatch.setattr(committer, clock, lambda: started_ms + passed_ms)

        wait_ms(2 * DAY_MS - 60_000)
        await alice.say(2, "bob", "just in time")
        wait_ms(2 * DAY_MS)
        alice.post(3, "bob", "too late")
        assert (await alice.error()).code == "mailbox_full"
        bob = await server.back(person)
        await bob.sync()
        assert [(await bob.expect(m.Delivery)).message for _ in range(2)] == [
            "in time",
            "just in time",
        ]
        assert (await bob.expect(m.Notice)).code == "mailbox_full"
