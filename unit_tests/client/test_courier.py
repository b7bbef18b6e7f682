"""What a courier does when its connection ends; the rest is tested with real servers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec

from jim.client.courier import Courier
from jim.client.feed import Feed
from jim.core.limits import Limits


async def test_what_was_held_back_for_a_lost_connection_goes_over_no_other_one() -> None:
    account: Any = SimpleNamespace(name="alice")
    nobody: Any = None
    courier = Courier(account, Feed(), nobody, nobody)
    slow = msgspec.structs.replace(Limits(), message_burst=2, messages_per_s=0.001).announced()
    first: list[bytes] = []
    courier._sending._pacer.start(slow, first.append)
    courier._sending._pacer.post([b"1", b"2", b"3"])
    assert b"3" not in b"".join(first)
    courier.lost()
    # The numbers may be others by the next connection: the outbox says again what goes over it.
    second: list[bytes] = []
    courier._sending._pacer.start(
        Limits(messages_per_s=0, bytes_per_s=0).announced(), second.append
    )
    courier._sending._pacer.post([b"new"])
    assert second == [b"new"]
