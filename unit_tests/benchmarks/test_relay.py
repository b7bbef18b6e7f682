from __future__ import annotations

import asyncio
from typing import cast

import pytest

from benchmarks import load, relay, targets


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def connected(switchboard: relay.Switchboard) -> tuple[relay.Relay, Wire]:
    connection, wire = relay.Relay(switchboard), Wire()
    connection.connection_made(cast("asyncio.Transport", wire))
    return connection, wire


async def test_a_name_is_confirmed_and_what_is_for_it_arrives_in_one_write() -> None:
    switchboard = relay.Switchboard()
    bob, to_bob = connected(switchboard)
    alice, to_alice = connected(switchboard)
    bob.data_received(b'{"name":"bob"}\n')
    await asyncio.sleep(0)
    assert to_bob.written == [relay.INTRODUCED]
    first, second = (b'{"id":%d,"n":%d,"to":"bob","message":"m%d"}\n' % (n, n, n) for n in (7, 8))
    alice.data_received(first + second[:9])
    alice.data_received(second[9:])
    await asyncio.sleep(0)
    stored = b'{"action":"stored","response":202,"id":%d,"n":%d}\n'
    assert to_alice.written == [stored % (7, 7) + stored % (8, 8)]
    pushed = b'{"action":"msg","position":%d,"message":"m%d"}\n'
    assert to_bob.written[1:] == [pushed % (1, 7) + pushed % (2, 8)]


@pytest.mark.e2e
async def test_pairs_talk_through_the_process_over_tls() -> None:
    with targets.reference_relay() as (address, _pid):
        pairs = await load.open_pairs(address, 2, "pair", plain_relay=True)
        for sender in pairs.senders:
            sender.burst(3)
        await pairs.settle()
        assert [receiver.received for receiver in pairs.receivers] == [3, 3]
        assert pairs.errors == 0
        await pairs.aclose()
