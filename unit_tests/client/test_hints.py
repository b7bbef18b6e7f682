"""What the server says unasked is looked at, put together, and never as often as it is said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jim.client import hints
from jim.client.hints import MAX_CHAINS, Hints

if TYPE_CHECKING:
    from collections.abc import Mapping


class Followed:
    """What is done about hints; `opened` lets it come to an end."""

    def __init__(self) -> None:
        self.chains: list[dict[str, int]] = []
        self.keys: list[int] = []
        self.opened = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.hints = Hints(self._run, self._look_at, self._offer_keys)

    def _run(self, coroutine: object) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(coroutine))  # type: ignore[arg-type]
        return self.tasks[-1]

    async def _look_at(self, chains: Mapping[str, int]) -> None:
        self.chains.append(dict(chains))
        await self.opened.wait()

    async def _offer_keys(self, left: int) -> None:
        self.keys.append(left)

    async def settle(self) -> None:
        self.opened.set()
        await asyncio.gather(*self.tasks)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "PAUSE_S", 0)


async def test_the_first_hint_is_followed_at_once_and_the_rest_together() -> None:
    followed = Followed()
    followed.hints.chain("alice", 1)
    await asyncio.sleep(0)
    assert followed.chains == [{"alice": 1}]
    for seq in range(2, 1_000):
        followed.hints.chain("alice", seq)
        followed.hints.keys(seq)
    followed.hints.chain("bob", 7)
    await followed.settle()
    assert followed.chains == [{"alice": 1}, {"alice": 999, "bob": 7}]
    assert followed.keys == [999]
    assert len(followed.tasks) == 1
    followed.hints.keys(5)
    await followed.settle()
    assert followed.keys == [999, 5]


async def test_a_round_has_a_pause_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed()
    monkeypatch.setattr(hints, "PAUSE_S", 3_600)
    followed.opened.set()
    followed.hints.keys(1)
    await asyncio.sleep(0.01)
    followed.hints.keys(2)
    await asyncio.sleep(0.01)
    assert followed.keys == [1]
    followed.tasks[0].cancel()


async def test_names_have_a_limit_and_a_lost_connection_forgets() -> None:
    followed = Followed()
    for number in range(2 * MAX_CHAINS):
        followed.hints.chain(f"name{number}", 1)
    await asyncio.sleep(0)
    assert len(followed.chains[0]) == MAX_CHAINS
    followed.hints.chain("alice", 1)
    followed.hints.forget()
    await followed.settle()
    assert len(followed.chains) == 1
