# long module: one check after the other
"""What has to be true of an account's local store; pure checks over its rows, in their order.

A hole in a conversation is not always a loss. This module tells the holes apart by what the rows
prove, never by a guess in the store's favour: an own message whose place is not known takes one
place; a message of unknown outcome may have taken one; where the device was told that something is
missing (its mailbox was full, its store came from a copy), the message before the hole came earlier
than that and the one behind it later; a device that joined the account later has nothing that was
collected before. That a device had joined is certain after its own first message
in the same conversation, and always while the account has had only one device.

What has been received and is gone again is found in any case, also in such a hole and at the end of
a conversation: by its position in the mailbox, which no other message has.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.client.events import UNKNOWN_OUTCOME, MessageState
from jim.client.store_rows import identity_of
from jim.crypto.chain import FIRST_SEQ
from jim.protocol.messages import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HELD: Final = frozenset({MessageState.STORED, MessageState.DELIVERED, MessageState.RECEIVED})
"""States of a message that the server has."""


END: Final = 1 << 63
"""Behind every message id (SQLite's integers end before it)."""


class Kind(enum.StrEnum):
    """What was found; the value is stable, for scripts."""

    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    ALTERED = "altered"
    CONTRADICTORY = "contradictory"
    MISSING = "missing"
    DOUBLED = "doubled"
    MISPLACED = "misplaced"
    NUMBER_MISSING = "number_missing"
    NUMBER_DOUBLED = "number_doubled"
    NUMBER_BEYOND = "number_beyond"
    OUTBOX = "outbox"
    CURSOR = "cursor"
    POSITION_MISSING = "position_missing"
    POSITION_DOUBLED = "position_doubled"
    NOT_KEPT = "not_kept"
    BEFORE_JOINING = "before_joining"
    PLACE_UNKNOWN = "place_unknown"
    NUMBER_UNKNOWN = "number_unknown"


NOTES: Final = frozenset(
    {Kind.NOT_KEPT, Kind.BEFORE_JOINING, Kind.PLACE_UNKNOWN, Kind.NUMBER_UNKNOWN}
)
"""What explains itself and contradicts nothing; every other kind is a fault."""

LOSSES: Final = frozenset({Kind.MISSING, Kind.NUMBER_MISSING, Kind.POSITION_MISSING})
"""A message that is gone; each leaves a hole among the numbers of its device or the positions of
the mailbox, and where another message of its conversation comes after it, one there too."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was found.

    Attributes:
        kind: what it is.
        peer: the conversation, empty where it is about none.
        first: the first sequence, number or position that it is about, 0 for none.
        last: the last one.
        message_id: the message in this store, 0 for none.
        detail: what SQLite said, or a value that a person can look up.
    """

    kind: Kind
    peer: str = ""
    first: int = 0
    last: int = 0
    message_id: int = 0
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether it contradicts the promise."""
        return self.kind not in NOTES

    @property
    def size(self) -> int:
        """How many sequences, numbers or positions it is about."""
        return self.last - self.first + 1


class Walked(Struct, frozen=True, kw_only=True):
    """A conversation that was looked through: the first and last sequence, and how many are here.

    Messages that have no sequence (yet) are not counted.
    """

    peer: str
    first: int
    last: int
    messages: int


class Report(Struct, kw_only=True):
    """Everything about one store.

    Attributes:
        confirmed_n: the last number of this device that the server has.
        queued: how many messages wait to be sent.
        walked_from: the position of the mailbox after which everything is looked for.
        position: the last one that was received.
    """

    name: str = ""
    device: str = ""
    confirmed_n: int = 0
    queued: int = 0
    walked_from: int = 0
    position: int = 0
    conversations: list[Walked] = []
    findings: list[Finding] = []

    @property
    def is_complete(self) -> bool:
        """Whether nothing contradicts the promise."""
        return not any(finding.is_fault for finding in self.findings)

    @property
    def lost(self) -> int:
        """How many messages must be gone, each counted once however many holes it leaves."""
        return max(self._size(Kind.MISSING), self._gone)

    @property
    def knows_ends(self) -> bool:
        """Whether nothing is gone of which nobody can say that it was not the end of some talk."""
        return self._gone <= self._size(Kind.MISSING)

    @property
    def _gone(self) -> int:
        return self._size(Kind.POSITION_MISSING) + self._size(Kind.NUMBER_MISSING)

    def _size(self, kind: Kind) -> int:
        return sum(finding.size for finding in self.findings if finding.kind is kind)


class Whose(Struct, frozen=True):
    """Whose store it is; `chain_seq` is the last link of the account's chain that was seen."""

    name: str
    device: str
    chain_seq: int
    former: frozenset[str] = frozenset()
    """The devices that this store was before (jim.client.rotation)."""

    def wrote(self, row: Row) -> bool:
        """Tell whether a message was written here."""
        return row.outgoing and (row.device == self.device or row.device in self.former)

    @property
    def is_founder(self) -> bool:
        """Whether this must be the account's first device: the chain has had no second link."""
        return self.chain_seq == FIRST_SEQ


class Row(Struct, frozen=True, kw_only=True):
    """A message as its row has it."""

    message_id: int
    peer: str
    outgoing: bool
    sender: str
    device: str
    n: int
    text: str
    seq: int
    place: int
    state: str
    error_code: str | None
    identity: bytes | None
    content_id: str = ""
    handed: bool = False
    """Another device of the account has handed it over."""


class _Hole(Struct):
    first: int
    last: int
    certain: bool
    """Whether the device had joined by then."""
    after_id: int
    """The last message before it that has come with the mailbox, 0 for none."""
    before_id: int = END
    """The first one that came of those between it and the next hole; in the end, of all behind."""

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def check_row(row: Row, whose: Whose) -> Iterator[Finding]:
    """Check what one row says by itself."""
    own = whose.wrote(row) and row.identity is None
    author = whose.name if row.outgoing else row.peer
    if row.sender != author or (not row.outgoing and row.peer == whose.name):
        yield _about(Kind.CONTRADICTORY, row)
    elif not own and row.identity != _identity(row, whose):
        yield _about(Kind.ALTERED, row)
    if not _is_placed(row):
        yield _about(Kind.MISPLACED, row)


def _about(kind: Kind, row: Row) -> Finding:
    return Finding(kind=kind, peer=row.peer, first=row.seq, last=row.seq, message_id=row.message_id)


def _identity(row: Row, whose: Whose) -> bytes:
    return identity_of(
        Delivery(
            position=0,
            seq=row.seq,
            sender=row.sender,
            device=row.device,
            n=row.n,
            to=row.peer if row.outgoing else whose.name,
            time=0,
        ),
        row.text,
        row.content_id,
    )


def _is_placed(row: Row) -> bool:
    """Tell whether a message stands where its sequence says; it may have none.

    An own one whose answer was lost has none, nor what its author's other devices, or the peer's,
    get of that one when it is sealed again.
    """
    if row.state not in HELD or row.seq == 0:
        return True
    return row.seq > 0 and row.place == row.seq


class ConversationAudit:
    """One conversation; takes its rows in the order of their sequences."""

    def __init__(self, peer: str, whose: Whose, notices: Iterable[int] = ()) -> None:
        """Begin before the first sequence.

        `notices` are those of something missing: the last message that was here before each.
        """
        self.peer, self._whose, self._notices = peer, whose, sorted(notices)
        self._came = 0
        self._joined = whose.is_founder
        self._first = self._last = self._messages = 0
        self._elsewhere = 0
        self._holes: list[_Hole] = []

    def add(self, row: Row) -> Iterator[Finding]:
        """Take the next row."""
        yield from check_row(row, self._whose)
        if row.state not in HELD or row.seq <= 0:
            self._elsewhere += _may_fill(row)
            return
        if row.seq == self._last:
            yield _about(Kind.DOUBLED, row)
        elif row.seq > self._last + 1:
            self._holes.append(_Hole(self._last + 1, row.seq - 1, self._joined, self._came))
        self._first = self._first or row.seq
        self._last = row.seq
        self._messages += 1
        if not (row.handed or self._whose.wrote(row)):
            # Own messages have their number from before they were sent, so it says nothing, and
            # what was handed over from long after it came.
            if self._holes:
                self._holes[-1].before_id = min(self._holes[-1].before_id, row.message_id)
            self._came = row.message_id
        self._joined = self._joined or self._whose.wrote(row)

    def end(self) -> Iterator[Finding]:
        """Word the holes, once every row was there."""
        before_id = END
        for hole in reversed(self._holes):
            before_id = hole.before_id = min(hole.before_id, before_id)
        judged = [(hole, self._was_told(hole)) for hole in self._holes]
        unexplained = sum(hole.size for hole, told in judged if hole.certain and not told)
        for hole, told in judged:
            kind = Kind.PLACE_UNKNOWN if unexplained <= self._elsewhere else Kind.MISSING
            if not hole.certain:
                kind = Kind.BEFORE_JOINING
            if told:
                kind = Kind.NOT_KEPT
            yield Finding(kind=kind, peer=self.peer, first=hole.first, last=hole.last)

    def _was_told(self, hole: _Hole) -> bool:
        """Tell whether the device learned of something missing while the hole came about."""
        later = bisect_left(self._notices, hole.after_id)
        return later < len(self._notices) and self._notices[later] < hole.before_id

    def walked(self) -> Walked:
        """Sum the conversation up."""
        return Walked(peer=self.peer, first=self._first, last=self._last, messages=self._messages)


def _may_fill(row: Row) -> bool:
    """Tell whether a message may stand in a hole: it has, had or may have got a place there.

    A queued one with a sequence was stored once, by a server that has lost it since.
    """
    if not row.outgoing:
        return row.state in HELD
    if row.state == MessageState.QUEUED:
        return row.seq > 0
    return row.state in HELD or row.error_code == UNKNOWN_OUTCOME


class NumberAudit:
    """The numbers of this device's messages; takes the confirmed ones in the order of numbers."""

    def __init__(self, confirmed_n: int, unknown: int) -> None:
        """Take the last confirmed number, and how many messages have an unknown outcome."""
        self._confirmed_n, self._unknown = confirmed_n, unknown
        self._last = 0
        self._holes: list[tuple[int, int]] = []

    def add(self, n: int, message_id: int) -> Iterator[Finding]:
        """Take the next confirmed message."""
        kind = None
        if n > self._confirmed_n or n < 1:
            kind = Kind.NUMBER_BEYOND
        elif n == self._last:
            kind = Kind.NUMBER_DOUBLED
        elif n > self._last + 1:
            self._holes.append((self._last + 1, n - 1))
        if kind is not None:
            yield Finding(kind=kind, first=n, last=n, message_id=message_id)
        if kind is not Kind.NUMBER_BEYOND:
            self._last = n

    def end(self) -> Iterator[Finding]:
        """Word the numbers that were used and whose messages are not here."""
        if self._last < self._confirmed_n:
            self._holes.append((self._last + 1, self._confirmed_n))
        explained = sum(last - first + 1 for first, last in self._holes) <= self._unknown
        kind = Kind.NUMBER_UNKNOWN if explained else Kind.NUMBER_MISSING
        for first, last in self._holes:
            yield Finding(kind=kind, first=first, last=last)


def check_outbox(expected: int, n: int, message_id: int) -> Iterator[Finding]:
    """Check that a waiting message has the number that follows the one before it."""
    if n != expected:
        yield Finding(
            kind=Kind.OUTBOX, first=n, last=n, message_id=message_id, detail=str(expected)
        )


def check_cursor(
    epoch: str, walked_from: int, position: int, *, has_received: bool
) -> Iterator[Finding]:
    """Check that the mailbox cursor can be one: without a server nothing can have come."""
    no_range = not 0 <= walked_from <= position
    if no_range or (not epoch and (position or has_received)):
        yield _cursor(position, detail=epoch)


def _cursor(position: int, detail: str) -> Finding:
    return Finding(kind=Kind.CURSOR, first=position, last=position, detail=detail)


class PositionAudit:
    """The positions of the mailbox; takes those of messages and notices in their order."""

    def __init__(self, walked_from: int, position: int) -> None:
        """Take after which position, and up to which, everything must be there."""
        self._walked_from, self._position = walked_from, position
        self._last = walked_from
        self._outside = 0

    def add(self, position: int) -> Iterator[Finding]:
        """Take the next position that is known."""
        if not self._walked_from < position <= self._position:
            self._outside = position
        elif position == self._last:
            yield Finding(kind=Kind.POSITION_DOUBLED, first=position, last=position)
        else:
            yield from self._missing(position - 1)
            self._last = position

    def end(self) -> Iterator[Finding]:
        """Check the end, once every position was there."""
        yield from self._missing(self._position)
        if self._outside:
            yield _cursor(self._position, detail=str(self._outside))

    def _missing(self, last: int) -> Iterator[Finding]:
        if last > self._last:
            yield Finding(kind=Kind.POSITION_MISSING, first=self._last + 1, last=last)
