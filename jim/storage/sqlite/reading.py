"""Mailboxes, read beside the writer on a connection of its own that cannot write.

Every query is finished when its function returns: one left open would keep the log from shrinking.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from jim.core.model import Segment

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from jim.core.counters import PlannedSegment

_OWNER: Final = "SELECT account_id FROM device WHERE device_id = ?"
# The last segment that begins at or before the position may straddle it; all later ones lie behind.
_WAITING: Final = """
SELECT first_position, last_position, frames FROM mailbox
WHERE device_id = :device AND last_position > :position AND first_position >= coalesce((
    SELECT max(first_position) FROM mailbox
    WHERE device_id = :device AND first_position <= :position
), 0)
ORDER BY first_position
"""


def load_after(
    connection: sqlite3.Connection,
    newest: Sequence[PlannedSegment],
    device_id: int,
    position: int,
    limit_bytes: int,
) -> list[Segment]:
    """Read waiting segments that reach behind the position: one, and more while they fit.

    `newest` are those that the table may not have yet, looked up before the table is read.
    """
    owner = connection.execute(_OWNER, (device_id,)).fetchone()
    segments: list[Segment] = []
    size_bytes = 0
    arguments = {"device": device_id, "position": position}
    with contextlib.closing(connection.execute(_WAITING, arguments)) as rows:
        for first, last, frames in rows:
            size_bytes += len(frames)
            if segments and size_bytes > limit_bytes:
                return segments
            segments.append(Segment(owner[0], device_id, first, last, frames))
            position = last
    for each in newest:
        segment = each.segment
        if segment.last <= position:
            continue
        size_bytes += len(segment.frames)
        if segments and size_bytes > limit_bytes:
            break
        segments.append(segment)
    return segments
