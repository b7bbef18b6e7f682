"""A client that writes faster than allowed, and one whose disk fails, with the real server."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.client.events import Fatal, LinkChanged, LinkState
from jim.errors import StoreError
from jim.server.stage import Hold
from unit_tests.client.household import Household
from unit_tests.support.serving import QUICK, serving

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.writer import Writer


async def test_a_burst_is_paced_here_so_that_a_probe_is_answered_at_once(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(QUICK, messages_per_s=0.001, message_burst=20)
    async with serving(tmp_path / "server", slow) as server:
        house = Household(server.port, tmp_path)
        bob, alice = await house.join("bob"), await house.join("alice")
        for number in range(30):
            await alice.client.send("bob", f"number {number}")
        first = [message.text for message in await bob.received(3)]
        assert first == [f"number {n}" for n in range(len(first))]
        # Half of the burst is spent, with the requests for chains and keys. The server has never
        # stopped.
        async with asyncio.timeout(10):
            await alice.client.presence()
        assert not any(Hold.PACE in each._holds for each in server.service.node.connections)
        assert alice.client.state is LinkState.ONLINE
        assert len(await bob.received(1)) <= 10
        await house.aclose()


class Failing:
    """A connection whose commits fail."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *arguments)


async def test_a_failed_commit_stops_the_client_and_says_so(house: Household) -> None:
    bob, alice = await house.join("bob"), await house.join("alice")
    await alice.client.send("bob", "before")
    await bob.received(1)
    writer: Writer[Any] = (await alice.client._background.account()).writer
    await writer.read(lambda _: setattr(writer, "_connection", Failing(writer._connection)))
    with pytest.raises(StoreError, match="disk I/O error"):
        await alice.client.send("bob", "never")
    (fatal,) = await alice.wait(Fatal)
    assert isinstance(fatal.error, StoreError)
    await alice.wait(LinkChanged, lambda event: event.state is LinkState.STOPPED)
    with pytest.raises(StoreError):
        await alice.client.send("bob", "nor this")
    assert [m.text for m in await alice.client.history("bob")] == ["before"]
