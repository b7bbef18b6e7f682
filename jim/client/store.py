"""An account's local store: its messages, its outbox and its mailbox cursor, in SQLite.

Every public method runs in a transaction of its caller (`writer.py`) and takes effect wholly or not
at all. No decision is made here that `jim.client.sync` makes; the one rule both follow is that the
queued messages, in the order of their ids, have the numbers after `confirmed_n`, without a gap.
Other processes may write into the same database, so the rule is applied to the rows as they are,
never to what somebody remembers of them.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, Struct

from jim.client.events import (
    UNKNOWN_OUTCOME,
    Conversation,
    Message,
    MessageState,
    MissingNotice,
)
from jim.client.mark import digest_of, mark_of
from jim.client.sync import Confirm, Refuse, Requeue, Restart, Row
from jim.protocol.messages import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.protocol.messages import Delivery

_QUEUE: Final = """
    INSERT INTO messages
        (peer, outgoing, sender, device, n,
         text, time_ms, place, pending, state, released, send_key)
    SELECT ?1, 1, ?2, ?3,
        1 + coalesce(
            (SELECT n FROM messages WHERE state = 'queued' ORDER BY message_id DESC LIMIT 1),
            confirmed_n),
        ?4, ?5, 1 << 62, 1, 'queued', ?6, ?7
    FROM account
    RETURNING *
"""
"""A queued message stands at the end of its conversation until its place is known."""

_CONFIRM: Final = """
    UPDATE messages SET state = 'stored', pending = 0, n = ?1, seq = ?2, place = ?2, time_ms = ?3
    WHERE message_id = ?4 AND state = 'queued'
    RETURNING *
"""
_CONFIRM_SOMEWHERE: Final = """
    UPDATE messages SET state = 'stored', n = ?1, seq = 0, place = (
        SELECT coalesce(max(place), 0) FROM messages AS other
        WHERE other.peer = messages.peer AND other.place < 1 << 62)
    WHERE message_id = ?2 AND state = 'queued'
    RETURNING *
"""
_FAIL: Final = """
    UPDATE messages SET state = 'failed', error_code = ?1, n = 0, place = (
        SELECT coalesce(max(place), 0) FROM messages AS other
        WHERE other.peer = messages.peer AND other.place < 1 << 62)
    WHERE message_id = ?2 AND state = 'queued'
    RETURNING *
"""
_REQUEUE: Final = """
    UPDATE messages SET state = 'queued', released = 1
    WHERE outgoing AND device = ? AND n > ? AND state IN ('stored', 'delivered')
    RETURNING *
"""
_KEEP: Final = """
    INSERT INTO messages
        (peer, outgoing, sender, device, n, text, time_ms, seq, place, state, identity, position)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?8, ?8, ?, ?, ?)
    ON CONFLICT (identity) DO NOTHING
    RETURNING *
"""
_PLACE_KNOWN: Final = "UPDATE messages SET position = ? WHERE identity = ?"
_PLACE_OWN: Final = """
    UPDATE messages SET position = ?1
    WHERE outgoing AND device = ?2 AND n = ?3 AND peer = ?4 AND text = ?5
"""
_NOTE_MISSING: Final = """
    INSERT INTO notices (code, time_ms, position, behind_id)
    SELECT ?, ?, ?, coalesce(max(message_id), 0) FROM messages
    RETURNING notice_id
"""
_STANDING: Final = """
    SELECT confirmed_n, epoch, position, (SELECT coalesce(max(message_id), 0) FROM messages)
    FROM account
"""
_PAGE: Final = """
    SELECT * FROM messages WHERE peer = ?1
    ORDER BY place DESC, pending DESC, message_id DESC LIMIT ?2
"""
_PAGE_BEFORE: Final = """
    SELECT * FROM messages WHERE peer = ?1 AND (place, pending, message_id)
        < (SELECT place, pending, message_id FROM messages WHERE message_id = ?3)
    ORDER BY place DESC, pending DESC, message_id DESC LIMIT ?2
"""
_RECEIVED_AFTER: Final = """
    SELECT * FROM messages WHERE NOT outgoing AND message_id > ? ORDER BY message_id LIMIT ?
"""
_LAST_OF_EACH: Final = """
    WITH RECURSIVE peers (peer) AS (
        SELECT min(peer) FROM messages
        UNION ALL
        SELECT (SELECT min(peer) FROM messages WHERE peer > peers.peer)
        FROM peers WHERE peers.peer IS NOT NULL
    )
    SELECT * FROM messages WHERE message_id IN (
        SELECT (SELECT message_id FROM messages WHERE peer = peers.peer
                ORDER BY place DESC, pending DESC, message_id DESC LIMIT 1)
        FROM peers
    ) ORDER BY message_id DESC
"""
"""Every peer costs two look-ups in an index, however many messages there are."""


class Draft(Struct, frozen=True):
    """A message that is to be queued; `key` makes it the same message every time."""

    to: str
    text: str
    time_ms: int
    key: str | None = None


class Standing(Struct, frozen=True):
    """Where the outbox and the mailbox of this device stand.

    `highest_id` is that of all messages which are here, in whatever state: later ones are new.
    """

    confirmed_n: int
    epoch: str
    position: int
    highest_id: int


class MessageStore:
    """The messages of one account on this device."""

    def __init__(self, connection: sqlite3.Connection, name: str, device: str) -> None:
        """Take an open database whose account row exists, and who this is."""
        connection.row_factory = sqlite3.Row
        self._sql = connection
        self._id = self.store_id()
        self._name = name
        self._device = device

    # --- own messages ---------------------------------------------------------------------------

    def enqueue(self, draft: Draft, *, released: bool) -> tuple[Message, bool]:
        """Queue a message under the next number; give it, and whether it is new."""
        if draft.key is not None and (existing := self._by_key(draft.key)) is not None:
            return existing, False
        queued = self._read(
            _QUEUE,
            (draft.to, self._name, self._device, draft.text, draft.time_ms, released, draft.key),
        )
        return queued[0], True

    def _by_key(self, key: str) -> Message | None:
        """Find what was sent under the key; a definite failure lets go of it."""
        found = self._read("SELECT * FROM messages WHERE send_key = ?", (key,))
        if not found:
            return None
        if found[0].state is MessageState.FAILED and found[0].error_code != UNKNOWN_OUTCOME:
            self._sql.execute("UPDATE messages SET send_key = NULL WHERE send_key = ?", (key,))
            return None
        return found[0]

    def queued_after(self, message_id: int) -> list[tuple[Row, Message]]:
        """Read what was queued later than a message, by this process or another one, in order."""
        found = self._sql.execute(
            "SELECT * FROM messages WHERE state = 'queued' AND message_id > ? ORDER BY message_id",
            (message_id,),
        )
        return [self._queued(_message(row), released=bool(row["released"])) for row in found]

    def _queued(self, message: Message, *, released: bool) -> tuple[Row, Message]:
        """Give a message with what the outbox has to know of it."""
        mark = mark_of(self._id, message.message_id, message.peer, message.text)
        row = Row(message.message_id, message.peer, message.text, released=released, mark=mark)
        return row, message

    def release(self, message_ids: Sequence[int]) -> None:
        """Mark messages as possibly transmitted."""
        self._sql.executemany(
            "UPDATE messages SET released = 1 WHERE message_id = ?", [(i,) for i in message_ids]
        )

    def confirm(self, effect: Confirm) -> list[Message]:
        """Keep the place that the server gave the message; who has delivered it stays delivered."""
        self._sql.execute("UPDATE account SET confirmed_n = ?", (effect.n,))
        if not effect.seq:
            return self._read(_CONFIRM_SOMEWHERE, (effect.n, effect.message_id))
        place = (effect.n, effect.seq, effect.time_ms, effect.message_id)
        return self._read(_CONFIRM, place)

    def refuse(self, effect: Refuse) -> list[Message]:
        """Fail a message for good; the later ones close the gap in the numbers."""
        failed = self._fail([effect.message_id], effect.code)
        self._renumber()
        return failed

    def requeue(self, effect: Requeue) -> list[tuple[Row, Message]]:
        """Queue confirmed messages again that the server has lost."""
        self._sql.execute("UPDATE account SET confirmed_n = ?", (effect.after_n,))
        lost = self._read(_REQUEUE, (self._device, effect.after_n))
        self._renumber()
        lost.sort(key=lambda message: message.message_id)
        return [self._queued(message, released=True) for message in lost]

    def restart(self, effect: Restart) -> list[Message]:
        """Go on behind numbers that somebody else used."""
        failed = self._fail(effect.unknown, UNKNOWN_OUTCOME)
        self._sql.execute("UPDATE account SET confirmed_n = ?", (effect.last_n,))
        self._renumber()
        return failed

    def delivered(self, peer: str, seq: int) -> list[Message]:
        """Note that a device of the peer holds the conversation up to a sequence."""
        return self._read(
            "UPDATE messages SET state = 'delivered'"
            " WHERE outgoing AND state = 'stored' AND peer = ? AND seq BETWEEN 1 AND ?"
            " RETURNING *",
            (peer, seq),
        )

    def undelivered(self) -> list[str]:
        """Give the peers that have messages of ours which are stored and not known as delivered."""
        found = self._sql.execute(
            "SELECT DISTINCT peer FROM messages WHERE outgoing AND state = 'stored' AND peer <> ?",
            (self._name,),
        )
        return [peer for (peer,) in found]

    def _fail(self, message_ids: Iterable[int], code: str) -> list[Message]:
        return [
            message
            for message_id in message_ids
            for message in self._read(_FAIL, (code, message_id))
        ]

    def _renumber(self) -> None:
        """Give the queued messages the numbers after the confirmed one, in their order."""
        (confirmed,) = self._sql.execute("SELECT confirmed_n FROM account").fetchone()
        queued = self._sql.execute(
            "SELECT message_id, n FROM messages WHERE state = 'queued' ORDER BY message_id"
        ).fetchall()
        changed = [
            (n, message_id)
            for n, (message_id, before) in enumerate(queued, confirmed + 1)
            if n != before
        ]
        self._sql.executemany("UPDATE messages SET n = ? WHERE message_id = ?", changed)

    # --- the mailbox ----------------------------------------------------------------------------

    def keep(
        self, frames: Sequence[Delivery | Notice], position: int
    ) -> list[Message | MissingNotice]:
        """Store what came, in its order, and move the cursor; give what was not here before."""
        kept: list[Message | MissingNotice] = []
        for frame in frames:
            if isinstance(frame, Notice):
                kept.append(self.note_missing(frame.code, frame.time, frame.position))
            else:
                kept += self._insert(frame)
        self._sql.execute("UPDATE account SET position = ?", (position,))
        return kept

    def note_missing(self, code: str, time_ms: int, position: int = 0) -> MissingNotice:
        """Keep that messages are missing behind everything that is here."""
        found = self._sql.execute(_NOTE_MISSING, (code, time_ms, position)).fetchone()
        return MissingNotice(code, time_ms, found[0])

    def unshown_notices(self) -> list[MissingNotice]:
        """Read the notices that nobody is known to have seen, in their order."""
        found = self._sql.execute(
            "SELECT code, time_ms, notice_id FROM notices WHERE NOT shown ORDER BY notice_id"
        )
        return [MissingNotice(*row) for row in found]

    def notice_shown(self, notice_id: int) -> None:
        """Note that somebody has seen a notice."""
        self._sql.execute("UPDATE notices SET shown = 1 WHERE notice_id = ?", (notice_id,))

    def move_cursor(self, epoch: str, position: int) -> None:
        """Set where the mailbox is read from: what was known of it up to here counts no more."""
        self._sql.execute(
            "UPDATE account SET epoch = ?1, position = ?2, walked_from = ?2", (epoch, position)
        )
        # They belong to another lineage, or to what nobody can say whether it was whole.
        self._sql.execute("UPDATE messages SET position = 0 WHERE position <> 0")
        self._sql.execute("UPDATE notices SET position = 0 WHERE position <> 0")

    def standing(self) -> Standing:
        """Read where this device stands."""
        return Standing(*self._sql.execute(_STANDING).fetchone())

    def _insert(self, delivery: Delivery) -> list[Message]:
        outgoing = delivery.sender == self._name
        if outgoing and delivery.device == self._device:
            own = (self._device, delivery.n, delivery.to, delivery.message)
            self._sql.execute(_PLACE_OWN, (delivery.position, *own))
            return []
        identity = identity_of(delivery)
        kept = self._read(
            _KEEP,
            (
                delivery.to if outgoing else delivery.sender,
                outgoing,
                delivery.sender,
                delivery.device,
                delivery.n,
                delivery.message,
                delivery.time,
                delivery.seq,
                MessageState.STORED if outgoing else MessageState.RECEIVED,
                identity,
                delivery.position,
            ),
        )
        if not kept:  # it was here: a server that was restored sends again what it still has
            self._sql.execute(_PLACE_KNOWN, (delivery.position, identity))
        return kept

    # --- reading --------------------------------------------------------------------------------

    def message(self, message_id: int) -> Message | None:
        """Read one message."""
        found = self._read("SELECT * FROM messages WHERE message_id = ?", (message_id,))
        return found[0] if found else None

    def history(self, peer: str, before: int | None, limit: int) -> list[Message]:
        """Read the last messages of a conversation in its order, or the last before one of them."""
        if before is None:
            found = self._read(_PAGE, (peer, limit))
        else:
            found = self._read(_PAGE_BEFORE, (peer, limit, before))
        return found[::-1]

    def received_after(self, message_id: int, limit: int) -> list[Message]:
        """Read what others wrote behind a message id, in the order in which it was stored."""
        return self._read(_RECEIVED_AFTER, (message_id, limit))

    def conversations(self) -> list[Conversation]:
        """Read everybody we exchanged messages with, the latest conversation first."""
        return [Conversation(message.peer, message) for message in self._read(_LAST_OF_EACH, ())]

    def store_id(self) -> str:
        """Give what tells this store from one that was here before, or comes later."""
        return str(self._sql.execute("SELECT id FROM store").fetchone()[0])

    def is_settled(self) -> bool:
        """Tell whether the server has decided about every message."""
        found = self._sql.execute("SELECT 1 FROM messages WHERE state = 'queued' LIMIT 1")
        return found.fetchone() is None

    def _read(self, statement: str, arguments: Sequence[object]) -> list[Message]:
        """Run a statement that gives rows of the table, to the end."""
        return [_message(row) for row in self._sql.execute(statement, arguments).fetchall()]


def _message(row: sqlite3.Row) -> Message:
    return Message(
        message_id=row["message_id"],
        peer=row["peer"],
        outgoing=bool(row["outgoing"]),
        sender=row["sender"],
        text=row["text"],
        time_ms=row["time_ms"],
        seq=row["seq"],
        n=row["n"],
        device=row["device"],
        state=MessageState(row["state"]),
        error_code=row["error_code"],
    )


def identity_of(delivery: Delivery) -> bytes:
    """Name a message so that it is found again, also in another lineage of the server's store.

    Sender, device and number say which message it is. Addressee and text belong to it because a
    number may come with another message after a server and a client have both lost a part of their
    stores: that one must not be taken for the first.
    """
    number = str(delivery.n)
    text = delivery.message if delivery.message is not UNSET else ""
    return digest_of((delivery.sender, delivery.device, number, delivery.to, text))
