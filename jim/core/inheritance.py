"""What waits for an account when a new device joins it: the device gets what it can read, in order.

A device may be lost for good, and what waited for it would otherwise be read by nobody. It also
keeps "delivered" true: a device that confirms a message then holds, or others have collected,
everything before it. A ciphertext opens on the device that it was sealed for and nowhere else, so
of those the new one gets none: their senders count what they seal for each device, and what was
lost with one is sent again (docs/adr/0017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from jim.core.counters import PlannedSegment
from jim.core.model import Segment
from jim.protocol.codec import FROM_SERVER, encode
from jim.protocol.messages import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jim.core.counters import AccountView, Counters, DeviceCounters
    from jim.core.limits import Limits


def inherit(
    heir: DeviceCounters,
    account: AccountView,
    waiting: Iterable[tuple[int, bytes]],
    counters: Counters,
    limits: Limits,
    now_ms: int,
) -> list[PlannedSegment]:
    """Put every plain text that waits for the account's other devices into an empty mailbox.

    `waiting` are the segments of those devices: each the position up to which its device has
    confirmed, and its frames. What several devices wait for comes once. `heir` is changed in place.
    """
    writer = _Writer(heir, account, counters, limits)
    for delivery in _merged(account.name, waiting):
        writer.add(delivery)
    if heir.last_position:
        heir.waiting_since_ms = now_ms
    return writer.segments()


def _merged(name: str, waiting: Iterable[tuple[int, bytes]]) -> list[Delivery]:
    """Give each waiting message once; a conversation in its order, conversations by time."""
    found: dict[tuple[str, str, int], Delivery] = {}
    for acked, frames in waiting:
        for frame in FROM_SERVER.json.decode_lines(frames):
            if not isinstance(frame, Delivery) or frame.ciphertext is not UNSET:
                continue
            if frame.position > acked:
                found[frame.sender, frame.device, frame.n] = frame
    latest: dict[str, int] = {}
    ordered = []
    for delivery in sorted(found.values(), key=lambda each: each.seq):
        # Of a clock that was set back only the latest time so far counts: the order is the seq's.
        peer = _peer(name, delivery)
        latest[peer] = max(delivery.time, latest.get(peer, 0))
        ordered.append((latest[peer], peer, delivery.seq, delivery))
    ordered.sort(key=lambda each: each[:3])
    return [delivery for *_, delivery in ordered]


def _peer(name: str, delivery: Delivery) -> str:
    return delivery.to if delivery.sender == name else delivery.sender


class _Writer:
    """Numbers deliveries into segments of bounded size."""

    def __init__(
        self, heir: DeviceCounters, account: AccountView, counters: Counters, limits: Limits
    ) -> None:
        self._heir = heir
        self._account = account
        self._counters = counters
        self._page_bytes = limits.page_bytes
        self._frames: list[bytes] = []
        self._marks: dict[int, int] = {}
        self._size_bytes = 0
        self._done: list[PlannedSegment] = []

    def add(self, delivery: Delivery) -> None:
        """Append a delivery under the heir's next position."""
        self._heir.last_position += 1
        frame = encode(msgspec.structs.replace(delivery, position=self._heir.last_position))
        self._frames.append(frame)
        self._size_bytes += len(frame)
        if delivery.sender != self._account.name:
            self._mark(delivery)
        if self._size_bytes >= self._page_bytes:
            self._close()

    def segments(self) -> list[PlannedSegment]:
        """Give everything that was added."""
        if self._frames:
            self._close()
        return self._done

    def _mark(self, delivery: Delivery) -> None:
        sender = self._counters.find(delivery.sender)
        if sender is None:  # an account is never removed; its messages would just have no mark
            return
        low, high = sorted((sender.account_id, self._account.account_id))
        conversation = self._counters.conversation(low, high)
        self._marks[conversation.conversation_id] = delivery.seq

    def _close(self) -> None:
        last = self._heir.last_position
        segment = Segment(
            account_id=self._account.account_id,
            device_id=self._heir.device_id,
            first=last - len(self._frames) + 1,
            last=last,
            frames=b"".join(self._frames),
        )
        self._done.append(PlannedSegment(segment, self._marks))
        self._frames, self._marks, self._size_bytes = [], {}, 0
