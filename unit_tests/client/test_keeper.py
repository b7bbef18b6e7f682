"""When the client looks again by itself: clocks that jump, and disks that fail."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from jim.client.address import Address
from jim.client.events import Fatal, LinkState, PresenceChanged, Received
from jim.client.feed import Feed
from jim.client.keeper import Keeper
from jim.client.policy import MAX_DELAY_S, STEADY_S, Backoff
from jim.client.presence import Presence
from jim.errors import ConnectFailed, ServerIdentityInvalid, StoreFull
from jim.protocol import messages as m
from unit_tests.client.listening import launch
from unit_tests.support.serving import serving

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.accounts import Account
    from jim.client.connector import Connector
    from jim.client.courier import Courier
    from jim.client.link import Link


class ProbedLink:
    """Counts how often somebody wanted a sign of life."""

    probes = 0

    def probe_now(self) -> None:
        self.probes += 1


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "probes"),
    [(0.25, 0.25, 0), (60.0, 60.0, 0), (3600.0, 0.25, 1), (-3600.0, 0.25, 1), (1.0, 0.25, 0)],
)
async def test_a_jump_of_the_wall_clock_asks_for_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch, wall_s: float, monotonic_s: float, probes: int
) -> None:
    async def never(_: bytes) -> tuple[Account, Courier]:
        raise AssertionError

    feed = Feed()
    keeper = Keeper(
        Address(),
        cast("Connector", None),
        feed,
        Presence(feed),
        never,
        token=None,
        recovery=None,
    )
    link = ProbedLink()
    keeper.link = cast("Link", link)
    wall, monotonic = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: wall + wall_s)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic + monotonic_s)
    keeper.look_at_clock()
    assert link.probes == probes
    keeper.look_at_clock()
    assert link.probes == probes, "one jump is one question"


async def test_a_connection_that_times_out_is_no_good_session_however_long_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unreachable:
        tries = 0

        async def connect(self) -> None:
            self.tries += 1
            now[0] += STEADY_S + 1
            if self.tries > 8:
                raise ServerIdentityInvalid
            raise ConnectFailed

    now = [0.0]
    waits: list[float] = []
    feed = Feed()
    keeper = Keeper(
        Address(),
        cast("Connector", Unreachable()),
        feed,
        Presence(feed),
        cast("Any", None),
        token=None,
        recovery=None,
    )

    async def wait(delay_s: float) -> None:
        waits.append(delay_s)

    keeper._backoff = Backoff(cast("Any", SimpleNamespace(uniform=lambda _low, high: high)))
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(keeper, "_wait", wait)
    with pytest.raises(ServerIdentityInvalid):
        await keeper.run()
    assert waits == sorted(waits)
    assert waits[-1] == MAX_DELAY_S


async def test_a_full_disk_stops_the_client_before_anything_is_acknowledged(tmp_path: Path) -> None:
    async with serving(tmp_path / "server") as server:
        bob = await (await launch(server.port, "bob", tmp_path / "bob")).online()
        alice = await (await launch(server.port, "alice", tmp_path / "alice")).online()
        account = await bob.client._background.account()
        await account.writer.read(
            lambda store: store._connection.execute("PRAGMA max_page_count = 1").fetchone()
        )
        texts = [str(number) * 16_000 for number in range(4)]  # more than pages that are free
        for text in texts:
            await alice.client.send("bob", text)
        await alice.client.flush(10)
        (fatal,) = await bob.wait(Fatal)
        assert isinstance(fatal.error, StoreFull)
        assert bob.client.state is LinkState.STOPPED
        await bob.aclose()
        again = await (await launch(server.port, "bob", tmp_path / "bob")).online()
        await again.wait(Received, lambda event: event.message.text == texts[-1])
        history = await again.client.history("alice")
        assert [message.text for message in history] == texts
        await again.aclose()
        await alice.aclose()


async def test_only_changes_of_presence_are_told() -> None:
    feed = Feed()
    events = feed.subscribe()
    presence = Presence(feed)
    for online in (True, True, False):
        presence.changed(m.PresenceChange(name="bob", online=online, time=1))
    assert await anext(events) == PresenceChanged("bob", online=True)
    presence._go_on()  # the pause after the first round is over
    presence.close()
    feed.close()
    assert [event async for event in events] == [PresenceChanged("bob", online=False)]
