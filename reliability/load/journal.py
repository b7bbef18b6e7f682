"""What clients of one process note down: events into a file, counts into a tally."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

if TYPE_CHECKING:
    from pathlib import Path

    from reliability import history as h

JOURNAL_EVENTS = 2_000
"""Written to the file at once: a tenth of a second of a busy run, and a megabyte at most."""

_json = msgspec.json.Encoder()


class Journal:
    """Writes events to a file as they come, so that an hour of them takes no memory."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self._file = path.open("wb")
        self._events: list[h.Event] = []

    def add(self, event: h.Event) -> None:
        """Note an event."""
        self._events.append(event)
        if len(self._events) >= JOURNAL_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Bring everything into the file."""
        self._file.write(b"".join(_json.encode(event) + b"\n" for event in self._events))
        self._file.flush()
        self._events.clear()

    def close(self) -> None:
        """Finish the file."""
        self.flush()
        self._file.close()


class Tally(Struct):
    """What the clients of one process have seen together."""

    written: int = 0
    acked: int = 0
    shown: int = 0
    errors: int = 0
    gaps: int = 0
    """Positions beyond cursor + 1: the server left something out and had to be asked again."""
    notices: int = 0
    logins: int = 0
    refused: int = 0
    """Attempts that ended before `welcome`."""
    losses: int = 0
    """Sessions that ended."""
    goodbyes: list[str] = field(default_factory=list)
    late_ns: list[tuple[int, int]] = field(default_factory=list)
    """For each message shown: when it was due, and how much later it was shown."""
    resumed_s: list[float] = field(default_factory=list)
    """When a session had everything that waited for it, on the monotonic clock."""
    first_ack_s: float = 0.0
    first_shown_s: float = 0.0
