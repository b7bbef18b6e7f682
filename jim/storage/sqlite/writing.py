"""The transaction of a batch: number it, write what it touched, drop what was collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.core.inheritance import inherit
from jim.core.model import Committed, DeliveredUpTo
from jim.core.numbering import delivered_up_to, plan
from jim.storage.sqlite.failures import transaction
from jim.storage.sqlite.packing import pack_answers, pack_marks, unpack_marks

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from jim.core.limits import Limits
    from jim.core.model import Batch
    from jim.core.numbering import Plan, PlannedSegment
    from jim.storage.sqlite.counters import SqliteCounters, StoredConversation, StoredDevice

_ADD_SEGMENT: Final = "INSERT INTO mailbox VALUES (?, ?, ?, ?, ?)"
_DROP_SEGMENTS: Final = """
DELETE FROM mailbox WHERE device_id = ? AND first_position <= ? AND last_position <= ?
RETURNING marks
"""
_WAITING: Final = """
SELECT acked, frames FROM mailbox JOIN receiving USING (device_id)
WHERE device_id = ? ORDER BY first_position
"""
_SENT: Final = "UPDATE sending SET last_n = ?, last_mark = ?, answers = ? WHERE device_id = ?"
_RECEIVED: Final = """
UPDATE receiving SET last_position = ?, acked = ?, state = ?, waiting_since_ms = ?
WHERE device_id = ?
"""
_GREW: Final = "UPDATE conversation SET last_seq = ?, last_ms = ? WHERE conversation_id = ?"
_WROTE: Final = "UPDATE member SET wrote = 1 WHERE account_id = ? AND conversation_id = ?"
_DELIVERED: Final = (
    "UPDATE member SET delivered_seq = ? WHERE account_id = ? AND conversation_id = ?"
)


class BatchWriter:
    """Commits batches on one connection; belongs to the thread of that connection."""

    def __init__(self, connection: sqlite3.Connection, counters: SqliteCounters) -> None:
        """Take the writing connection and its counters."""
        self._connection = connection
        self._counters = counters

    def commit(self, batch: Batch, limits: Limits, now_ms: int) -> Committed:
        """Store a batch durably; whatever is raised, nothing of it is stored.

        After an exception the counters no longer match the database.
        """
        self._counters.trim()
        with transaction(self._connection):
            planned = plan(batch, self._counters, limits, now_ms)
            delivered = self._collect(planned.collected)
            self._write(planned, now_ms)
        segments = [each.segment for each in planned.segments]
        return Committed(planned.answers, segments, delivered)

    def hand_over(self, account_id: int, device_id: int, limits: Limits, now_ms: int) -> None:
        """Put what waits for an account into the mailbox of its new device.

        Runs in the transaction that adds the device. The account's counters have to be forgotten
        behind it.
        """
        self._counters.forget(account_id)
        account = self._counters.account(account_id)
        heir = self._counters.device(device_id)
        waiting: list[tuple[int, bytes]] = []
        for device in account.devices:
            waiting += self._connection.execute(_WAITING, (device.device_id,)).fetchall()
        self._add(inherit(heir, account, waiting, self._counters, limits, now_ms))
        self._connection.executemany(_RECEIVED, _received([heir]))

    def _collect(self, collected: dict[int, int]) -> list[DeliveredUpTo]:
        """Delete the segments that are wholly confirmed; give what the other sides should hear."""
        seen: dict[tuple[int, int], int] = {}
        for device_id, position in collected.items():
            account_id = self._counters.device(device_id).account_id
            dropped = self._connection.execute(_DROP_SEGMENTS, (device_id, position, position))
            for (packed,) in dropped.fetchall():
                for conversation_id, seq in unpack_marks(packed).items():
                    key = (account_id, conversation_id)
                    seen[key] = max(seq, seen.get(key, 0))
        return self._deliver(seen)

    def _deliver(self, seen: dict[tuple[int, int], int]) -> list[DeliveredUpTo]:
        news = []
        rows = []
        for (account_id, conversation_id), seq in seen.items():
            conversation = self._counters.conversation_of(conversation_id)
            if conversation.deliver(account_id, seq):
                rows.append((seq, account_id, conversation_id))
                by = self._counters.account(account_id)
                news.append(delivered_up_to(conversation, by, seq))
        self._connection.executemany(_DELIVERED, rows)
        return news

    def _write(self, planned: Plan, now_ms: int) -> None:
        devices: Iterable[StoredDevice] = planned.devices.values()  # type: ignore[assignment]
        conversations: Iterable[StoredConversation] = planned.conversations.values()  # type: ignore[assignment]
        write = self._connection.executemany
        self._add(planned.segments)
        write(_SENT, _sent(devices))
        write(_RECEIVED, _received(devices))
        write(_GREW, [(c.last_seq, now_ms, c.conversation_id) for c in conversations])
        write(_WROTE, _wrote(conversations))

    def _add(self, segments: Iterable[PlannedSegment]) -> None:
        self._connection.executemany(
            _ADD_SEGMENT,
            [
                (segment.device_id, segment.first, segment.last, segment.frames, pack_marks(marks))
                for segment, marks in ((each.segment, each.marks) for each in segments)
            ],
        )


def _sent(devices: Iterable[StoredDevice]) -> list[tuple[int, str, bytes, int]]:
    """Give the rows of the devices that have sent, and note them as stored."""
    rows = []
    for device in devices:
        if device.last_n != device.stored_n:
            device.stored_n = device.last_n
            answers = pack_answers(device.answers)
            rows.append((device.last_n, device.last_mark, answers, device.device_id))
    return rows


def _received(devices: Iterable[StoredDevice]) -> list[tuple[int, int, int, int, int]]:
    """Give the rows of the mailboxes that have changed, and note them as stored."""
    rows = []
    for device in devices:
        position, acked = device.last_position, device.acked
        if position != device.stored_position or acked != device.stored_acked:
            device.stored_position = position
            device.stored_acked = acked
            state, since_ms = int(device.state), device.waiting_since_ms
            rows.append((position, acked, state, since_ms, device.device_id))
    return rows


def _wrote(conversations: Iterable[StoredConversation]) -> list[tuple[int, int]]:
    """Give the members who wrote for the first time, and note them as stored."""
    rows = []
    for conversation in conversations:
        wrote = (conversation.low_wrote, conversation.high_wrote)
        if wrote != conversation.stored_wrote:
            conversation.stored_wrote = wrote
            sides = (conversation.low, conversation.high)
            rows += [
                (account_id, conversation.conversation_id)
                for account_id, has in zip(sides, wrote, strict=True)
                if has
            ]
    return rows
