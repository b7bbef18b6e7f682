"""Everything that happens in a run, folded into one number, so that two runs can be compared.

Only numbers and times go in, never a key, a nonce or a signature: these differ from one process to
the next, what happens with them does not.
"""

from __future__ import annotations

import zlib
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reliability.history import Event


class Kind:
    """What happened; plain numbers, because there are thousands of them in a run."""

    TURN: Final = 1
    TIMER: Final = 2
    THREAD: Final = 3
    SENT: Final = 4
    ARRIVED: Final = 5
    READ: Final = 6
    RESET: Final = 7
    CLOSED: Final = 8
    STORE: Final = 9
    DIED: Final = 10
    ACTION: Final = 11
    HISTORY: Final = 12


NAMES: Final = {number: name.lower() for name, number in vars(Kind).items() if name.isupper()}
"""How a line of the trace names its kind."""


class Trace:
    """The fingerprint of a run so far, and its last lines."""

    def __init__(self, tail_lines: int = 0) -> None:
        """`tail_lines` 0 keeps nothing but the fingerprint."""
        self.digest = 0
        self.notes = 0
        self._keeps = tail_lines > 0
        self._tail: deque[tuple[float, int, object, object]] = deque(maxlen=tail_lines)

    def note(self, at_s: float, kind: int, one: int = 0, other: float = 0) -> None:
        """Add something that is known by two numbers.

        Hashes of tuples of numbers are the same in every process; those of texts are not.
        """
        self.digest = hash((self.digest, at_s, kind, one, other))
        self.notes += 1
        if self._keeps:
            self._tail.append((at_s, kind, one, other))

    def note_event(self, at_s: float, event: Event) -> None:
        """Add an event of the history."""
        self.note_text(at_s, Kind.HISTORY, repr(event))

    def note_text(self, at_s: float, kind: int, text: str) -> None:
        """Add something that is known by a text."""
        self.digest = hash((self.digest, at_s, kind, zlib.crc32(text.encode())))
        self.notes += 1
        self._tail.append((at_s, kind, text, ""))

    def tail(self) -> list[str]:
        """Give the last lines, for people."""
        return [
            f"{at_s:12.6f}  {NAMES[kind]:<8} {one} {other}" for at_s, kind, one, other in self._tail
        ]
