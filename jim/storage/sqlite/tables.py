"""The rows in which counters and segments lie in the database, and the statements that write them.

They get there some commits late (`jim.storage.sqlite.write_back`), or from the journal when the
database is opened again (`jim.storage.sqlite.journal`); both write them through here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from jim.storage.sqlite.packing import pack_marks

if TYPE_CHECKING:
    import sqlite3

    from jim.core.counters import DeviceCounters, PlannedSegment

_SENT: Final = """
UPDATE sending SET last_n = ?, last_mark = ?, answers = ?, alone = ? WHERE device_id = ?
"""
_RECEIVED: Final = """
UPDATE receiving SET last_position = ?, acked = ?, state = ?, waiting_since_ms = ?
WHERE device_id = ?
"""
_ADD_SEGMENT: Final = "INSERT INTO mailbox VALUES (?, ?, ?, ?, ?)"
_GREW: Final = "UPDATE conversation SET last_seq = ?, last_ms = ? WHERE conversation_id = ?"
_DELIVERED: Final = (
    "UPDATE member SET delivered_seq = ? WHERE account_id = ? AND conversation_id = ?"
)


class Rows(Struct):
    """Values that replace what the tables have; columns in the order of the statements above."""

    sent: list[tuple[int, str, bytes, int, int]] = field(default_factory=list)
    received: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    segments: list[tuple[int, int, int, bytes, bytes]] = field(default_factory=list)
    grew: list[tuple[int, int, int]] = field(default_factory=list)
    delivered: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """The size of the segments."""
        return sum(len(row[3]) for row in self.segments)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all of it, inside the transaction of the caller."""
        for statement, rows in (
            (_SENT, self.sent),
            (_RECEIVED, self.received),
            (_ADD_SEGMENT, self.segments),
            (_GREW, self.grew),
            (_DELIVERED, self.delivered),
        ):
            if rows:
                connection.executemany(statement, rows)


def received_row(device: DeviceCounters) -> tuple[int, int, int, int, int]:
    """Give the row of where a mailbox stands."""
    position, acked, since_ms = device.last_position, device.acked, device.waiting_since_ms
    return (position, acked, int(device.state), since_ms, device.device_id)


def segment_row(planned: PlannedSegment) -> tuple[int, int, int, bytes, bytes]:
    """Give the row of a segment."""
    segment = planned.segment
    marks = pack_marks(planned.marks)
    return (segment.device_id, segment.first, segment.last, segment.frames, marks)
