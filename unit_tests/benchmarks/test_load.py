from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING, cast

import msgspec

from benchmarks.load import BODY_BYTES, Receiver, Sender
from jim.core.limits import WINDOW

if TYPE_CHECKING:
    import asyncio

STORED = b'{"action":"stored","response":202,"id":1,"n":1}\n'


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def messages(self) -> list[dict[str, str | int]]:
        lines, self.written = self.written.splitlines(), b""
        return [msgspec.json.decode(line) for line in lines]


def sending() -> tuple[Sender, Wire]:
    sender, wire = Sender(), Wire()
    sender.connection_made(cast("asyncio.Transport", wire))
    sender.to = b"bob"
    return sender, wire


def test_a_burst_is_numbered_on_and_every_body_is_as_long() -> None:
    sender, wire = sending()
    sender.burst(2)
    sender.burst(1)
    messages = wire.messages()
    assert [message["n"] for message in messages] == [1, 2, 3]
    assert {len(str(message["message"])) for message in messages} == {BODY_BYTES}


def test_what_is_due_beyond_the_window_waits_with_its_due_time() -> None:
    sender, wire = sending()
    sender.schedule(range(1000, 1000 + WINDOW + 3))
    assert len(wire.messages()) == WINDOW
    sender.frames(STORED * 2)
    late = wire.messages()
    assert [message["n"] for message in late] == [WINDOW + 1, WINDOW + 2]
    assert [int(message["message"]) for message in late] == [1000 + WINDOW, 1001 + WINDOW]
    assert list(sender.due_ns) == [1002 + WINDOW]


def test_a_refused_message_is_an_error_and_not_stored() -> None:
    sender, _ = sending()
    sender.burst(2)
    sender.frames(STORED + b'{"action":"error","response":403,"code":"window_exceeded"}\n')
    assert (sender.stored, sender.errors) == (1, 1)


def test_lateness_counts_from_the_due_time_and_the_last_position_is_confirmed() -> None:
    receiver, wire = Receiver(), Wire()
    receiver.connection_made(cast("asyncio.Transport", wire))
    receiver.late_ns = array("q")
    due_ns = time.monotonic_ns() - 5_000_000_000
    push = b'{"action":"msg","position":%d,"message":"%d"}\n'
    receiver.frames(push % (4, due_ns) + push % (5, due_ns))
    assert receiver.received == 2
    assert min(receiver.late_ns) >= 5_000_000_000
    assert wire.messages() == [{"action": "ack", "position": 5}]
