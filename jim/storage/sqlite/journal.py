"""The journal: what a commit has changed, as one row, until the tables have it too.

A commit touches the counters of many devices and conversations, and adds to many mailboxes. Written
into their tables that would be a page here and there for each, to be written again by the next
commit, and a segment that is confirmed at once would be inserted and deleted. The journal takes all
of it as one value. Replaying it over the tables gives what the last commit left behind: values are
absolute, so that those which the tables have already do no harm, and answers and segments begin
where the tables end.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from jim.core.counters import PlannedSegment
from jim.core.model import MailboxState, Segment, Stored
from jim.errors import StoreCorrupt
from jim.storage.sqlite.failures import transaction
from jim.storage.sqlite.packing import pack_answers, unpack_answers
from jim.storage.sqlite.tables import Rows, segment_row

if TYPE_CHECKING:
    import sqlite3

VERSION: Final = 2
"""First element of every row; grows when the format changes."""

BEFORE_SEALED: Final = 1
"""The version without `Sent.alone`: then every message had a place in a conversation."""

Number = Annotated[int, Meta(le=(1 << 63) - 1)]
"""What SQLite can hold, so that one that is larger counts as damage."""

_APPEND: Final = "INSERT INTO journal VALUES (?, ?)"
_COVERED: Final = "DELETE FROM journal WHERE commit_id < ?"
_READ: Final = "SELECT commit_id, body FROM journal ORDER BY commit_id"
_SENDING: Final = "SELECT last_n, last_mark, answers, alone FROM sending WHERE device_id = ?"
_RECEIVING: Final = """
SELECT last_position, account_id, state FROM receiving JOIN device USING (device_id)
WHERE device_id = ?
"""


class Sent(Struct, array_like=True, gc=False):
    """The numbers that a device has used."""

    device_id: Number
    after_n: Number
    """The last number of the commit before."""
    last_n: Number
    last_mark: str
    answers: bytes
    """Those of this commit, packed (`jim.storage.sqlite.packing`); of a commit of more than a
    window only the last ones."""
    alone: Number = 0
    """How many of all its messages had no place in a conversation."""


class Received(Struct, array_like=True, gc=False):
    """Where a mailbox stands: the columns of the table `receiving`."""

    device_id: Number
    last_position: Number
    acked: Number
    state: Number
    waiting_since_ms: Number


class Added(Struct, array_like=True, gc=False):
    """A segment of a mailbox."""

    device_id: Number
    first: Number
    last: Number
    frames: bytes
    marks: dict[Number, Number]


class Entry(Struct, array_like=True, tag=VERSION, gc=False):
    """Everything that a commit has changed."""

    now_ms: Number
    sent: list[Sent]
    received: list[Received]
    added: list[Added]
    grew: list[tuple[Number, Number]]
    """Conversations and their last sequence."""
    delivered: list[tuple[Number, Number, Number]]
    """Sequence, account and conversation."""


class OlderEntry(Entry, array_like=True, tag=BEFORE_SEALED, gc=False):
    """An entry that an older program has left behind; it means what it says."""


encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry | OlderEntry).decode


def append(connection: sqlite3.Connection, commit_id: int, body: bytes) -> None:
    """Add the entry of a commit, inside its transaction; ids only grow."""
    connection.execute(_APPEND, (commit_id, body))


def forget(connection: sqlite3.Connection, before_id: int) -> None:
    """Drop the entries of earlier commits, inside a transaction: the tables have it all."""
    connection.execute(_COVERED, (before_id,))


def fold(connection: sqlite3.Connection) -> None:
    """Write what the journal holds into the tables, and empty it; all or nothing.

    Raises:
        StoreCorrupt: the journal does not continue the tables.
    """
    with transaction(connection):
        replayed = replay(connection)
        if replayed is not None:
            replayed.write(connection)
            connection.execute("DELETE FROM journal")


def replay(connection: sqlite3.Connection) -> Rows | None:
    """Give the rows that the tables lack, None where the journal is empty; nothing is written.

    Raises:
        StoreCorrupt: the journal does not continue the tables.
    """
    state: _Replay | None = None
    for commit_id, body in connection.execute(_READ):
        if state is None:
            state = _Replay(connection)
        try:
            state.add(_decode(body))
        except (ValueError, msgspec.MsgspecError) as error:
            raise StoreCorrupt(
                f"entry {commit_id} of the journal does not fit ({error}); "
                "put a backup in its place, or move it away to begin empty",
                entry=commit_id,
            ) from error
    return state.rows() if state is not None else None


class _Sender(Struct):
    """What a device has sent, up to the entry that was read last."""

    last_n: int
    last_mark: str
    answers: deque[Stored]
    alone: int


class _Mailbox(Struct):
    """A mailbox up to the entry that was read last."""

    account_id: int
    stored: int
    """Up to this position the table has, or had, its segments."""
    end: int
    segments: list[PlannedSegment]
    is_revoked: bool
    """The table is newer than any entry: nothing has changed since it was told."""
    received: Received | None = None


class _Replay:
    """The state of one `replay` call."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._senders: dict[int, _Sender] = {}
        self._mailboxes: dict[int, _Mailbox] = {}
        self._grew: dict[int, tuple[int, int]] = {}
        self._delivered: dict[tuple[int, int], int] = {}

    def add(self, entry: Entry) -> None:
        """Take the next entry.

        Raises:
            ValueError: it does not continue what was before.
        """
        for sent in entry.sent:
            self._add_sent(sent)
        for added in entry.added:
            self._add_segment(added)
        for received in entry.received:
            mailbox = self._mailbox(received.device_id)
            if mailbox.is_revoked:
                continue
            mailbox.received = received
            if mailbox.end < received.last_position:
                raise ValueError(f"mailbox {received.device_id} lacks segments")
        for conversation_id, last_seq in entry.grew:
            self._grew[conversation_id] = (last_seq, entry.now_ms)
        for seq, account_id, conversation_id in entry.delivered:
            self._delivered[account_id, conversation_id] = seq

    def rows(self) -> Rows:
        """Give what came of all entries."""
        rows = Rows()
        for device_id, sender in self._senders.items():
            answers = pack_answers(sender.answers)
            numbers = (sender.last_n, sender.last_mark, answers, sender.alone)
            rows.sent.append((*numbers, device_id))
        for device_id, mailbox in self._mailboxes.items():
            last = mailbox.received
            if last is None:
                continue
            counters = (last.last_position, last.acked, last.state, last.waiting_since_ms)
            rows.received.append((*counters, device_id))
            waiting = (each for each in mailbox.segments if each.segment.last > last.acked)
            rows.segments += map(segment_row, waiting)
        rows.grew = [
            (seq, ms, conversation_id) for conversation_id, (seq, ms) in self._grew.items()
        ]
        rows.delivered = [(seq, *key) for key, seq in self._delivered.items()]
        return rows

    def _add_sent(self, sent: Sent) -> None:
        sender = self._senders.get(sent.device_id)
        if sender is None:
            row = self._connection.execute(_SENDING, (sent.device_id,)).fetchone()
            if row is None:
                raise ValueError(f"no device {sent.device_id}")
            last_n, last_mark, packed, alone = row
            sender = _Sender(last_n, last_mark, unpack_answers(packed, last_n), alone)
            self._senders[sent.device_id] = sender
        if sent.last_n <= sender.last_n:
            return
        if sent.after_n != sender.last_n:
            raise ValueError(f"device {sent.device_id} lacks numbers")
        answers = unpack_answers(sent.answers, sent.last_n)
        if answers and answers[0].n != sent.after_n + 1:
            sender.answers.clear()
        sender.answers += answers
        sender.last_n, sender.last_mark = sent.last_n, sent.last_mark
        sender.alone = sent.alone

    def _add_segment(self, added: Added) -> None:
        mailbox = self._mailbox(added.device_id)
        if added.last <= mailbox.stored:
            return
        if added.first != mailbox.end + 1:
            raise ValueError(f"mailbox {added.device_id} lacks segments")
        mailbox.end = added.last
        segment = Segment(
            mailbox.account_id, added.device_id, added.first, added.last, added.frames
        )
        mailbox.segments.append(PlannedSegment(segment, added.marks))

    def _mailbox(self, device_id: int) -> _Mailbox:
        mailbox = self._mailboxes.get(device_id)
        if mailbox is None:
            row = self._connection.execute(_RECEIVING, (device_id,)).fetchone()
            if row is None:
                raise ValueError(f"no device {device_id}")
            last_position, account_id, state = row
            is_revoked = state == MailboxState.REVOKED
            mailbox = _Mailbox(account_id, last_position, last_position, [], is_revoked)
            self._mailboxes[device_id] = mailbox
        return mailbox
