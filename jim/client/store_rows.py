"""The statements of the store, and what becomes of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.client.events import Message, MessageState
from jim.client.mark import digest_of

if TYPE_CHECKING:
    import sqlite3

    from jim.protocol.messages import Delivery

QUEUE: Final = """
    INSERT INTO messages
        (peer, outgoing, sender, device, n,
         text, time_ms, place, pending, state, send_key, kind, only_for)
    SELECT ?1, 1, ?2, device,
        1 + coalesce(
            (SELECT n FROM messages WHERE state = 'queued' ORDER BY message_id DESC LIMIT 1),
            confirmed_n),
        ?3, ?4, 1 << 62, 1, 'queued', ?5, ?6, ?7
    FROM account
    RETURNING *
"""
"""A queued message stands at the end of its conversation until its place is known. The device is
that of the row: another process may have become a new one meanwhile."""

CONFIRM: Final = """
    UPDATE messages SET state = 'stored', pending = 0, payload = NULL,
        n = ?1, seq = ?2, place = ?2, time_ms = ?3
    WHERE message_id = ?4 AND state = 'queued'
    RETURNING *
"""
CONFIRM_SOMEWHERE: Final = """
    UPDATE messages SET state = 'stored', payload = NULL, n = ?1, seq = 0, place = (
        SELECT coalesce(max(place), 0) FROM messages AS other
        WHERE other.peer = messages.peer AND other.place < 1 << 62)
    WHERE message_id = ?2 AND state = 'queued'
    RETURNING *
"""
FAIL: Final = """
    UPDATE messages SET state = 'failed', payload = NULL, error_code = ?1, n = 0, place = (
        SELECT coalesce(max(place), 0) FROM messages AS other
        WHERE other.peer = messages.peer AND other.place < 1 << 62)
    WHERE message_id = ?2 AND state = 'queued'
    RETURNING *
"""
REQUEUE: Final = """
    UPDATE messages SET state = 'queued', released = 1
    WHERE outgoing AND device = ? AND n > ? AND state IN ('stored', 'delivered')
    RETURNING *
"""
KEEP: Final = """
    INSERT INTO messages
        (peer, outgoing, sender, device, n, text, time_ms, seq, place, state, identity, position,
         content_id, plain, withheld)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?8,
        CASE WHEN ?8 > 0 THEN ?8 ELSE (
            SELECT coalesce(max(place), 0) FROM messages WHERE peer = ?1 AND place < 1 << 62) END,
        ?, ?, ?, ?, ?13,
        ?13 AND NOT EXISTS (SELECT 1 FROM contacts WHERE name = ?1 AND contacts.plain))
    ON CONFLICT (identity) DO NOTHING
    RETURNING *
"""
"""What comes without a sequence stands behind what is here: its sender may not have learned it, and
a server that leaves it away must not hide a message before all others."""
PLACE_KNOWN: Final = "UPDATE messages SET position = ? WHERE identity = ? AND position = 0"
PLACE_OWN: Final = """
    UPDATE messages SET position = ?1
    WHERE outgoing AND device = ?2 AND n = ?3 AND peer = ?4 AND text = ?5
"""
NOTE_MISSING: Final = """
    INSERT INTO notices (code, time_ms, position, peer, behind_id)
    SELECT ?, ?, ?, ?, coalesce(max(message_id), 0) FROM messages
    RETURNING notice_id
"""
WAS_SAID: Final = """
    SELECT 1 FROM notices WHERE code = ?1 AND peer = ?2 AND NOT EXISTS (
        SELECT 1 FROM messages
        WHERE peer = ?2 AND kind = 'text' AND message_id > notices.behind_id)
    LIMIT 1
"""
STANDING: Final = """
    SELECT confirmed_n, epoch, position, (SELECT coalesce(max(message_id), 0) FROM messages)
    FROM account
"""
PAGE: Final = """
    SELECT * FROM messages WHERE peer = ?1 AND kind = 'text'
    ORDER BY place DESC, pending DESC, message_id DESC LIMIT ?2
"""
PAGE_BEFORE: Final = """
    SELECT * FROM messages WHERE peer = ?1 AND kind = 'text' AND (place, pending, message_id)
        < (SELECT place, pending, message_id FROM messages WHERE message_id = ?3)
    ORDER BY place DESC, pending DESC, message_id DESC LIMIT ?2
"""
RECEIVED_AFTER: Final = """
    SELECT * FROM messages WHERE NOT outgoing AND message_id > ? AND handed <> 1
    ORDER BY message_id LIMIT ?
"""
"""What was handed over and had been read on another device is no news here."""
LAST_OF_EACH: Final = """
    WITH RECURSIVE peers (peer) AS (
        SELECT min(peer) FROM messages
        UNION ALL
        SELECT (SELECT min(peer) FROM messages WHERE peer > peers.peer)
        FROM peers WHERE peers.peer IS NOT NULL
    )
    SELECT * FROM messages WHERE message_id IN (
        SELECT (SELECT message_id FROM messages WHERE peer = peers.peer AND kind = 'text'
                ORDER BY place DESC, pending DESC, message_id DESC LIMIT 1)
        FROM peers
    ) ORDER BY time_ms DESC, message_id DESC
"""
"""Every peer costs two look-ups in an index, however many messages there are. By time, because what
was handed over has no numbers that say when it was written."""

PASSED: Final = "INSERT INTO passed (position, n) VALUES (?, ?)"
OPENED: Final = "INSERT INTO passed (position, digest) VALUES (?, ?)"
KNOWN: Final = """
    SELECT EXISTS (SELECT 1 FROM messages
        WHERE sender = ?1 AND device = ?2 AND n = ?3 AND seq = ?4 AND content_id <> '')
    OR EXISTS (SELECT 1 FROM passed WHERE digest = ?5)
"""
PLACE_AGAIN: Final = """
    UPDATE messages SET position = ?1
    WHERE sender = ?2 AND device = ?3 AND n = ?4 AND seq = ?5 AND content_id <> '' AND position = 0
"""
SEAL: Final = "UPDATE messages SET payload = ?, released = 1, plain = ? WHERE message_id = ?"
IS_SEALED: Final = (
    "SELECT 1 FROM messages WHERE message_id = ? AND payload IS NOT NULL AND NOT plain"
)
SEALED_BEHIND: Final = """
    SELECT message_id FROM messages
    WHERE state = 'queued' AND message_id > ? AND payload IS NOT NULL AND NOT plain
"""
TO_SEAL: Final = """
    SELECT * FROM messages WHERE message_id = ? AND state = 'queued'
"""
UNDELIVERED_TO: Final = """
    SELECT message_id FROM messages
    WHERE outgoing AND state = 'stored' AND kind = 'text' AND peer = ?1 AND NOT plain
        AND (device = ?2 OR device IN (SELECT device FROM former))
    ORDER BY message_id DESC LIMIT ?3
"""
REVEAL: Final = """
    UPDATE messages SET withheld = 0 WHERE peer = ? AND withheld RETURNING *
"""
NOTICES_OF: Final = """
    SELECT code, time_ms, notice_id, peer FROM notices WHERE peer = ? ORDER BY notice_id
"""
UNSEALED: Final = """
    SELECT 1 FROM messages WHERE state = 'queued' AND payload IS NULL AND message_id < ? LIMIT 1
"""
IS_QUEUED: Final = """
    SELECT 1 FROM messages WHERE state = 'queued' AND kind = ? AND only_for = ? LIMIT 1
"""
WAIT_FOR: Final = """
    SELECT count(*) FROM messages
    WHERE state = 'queued' AND kind = ? AND only_for IN (SELECT value FROM json_each(?))
"""
STANDS: Final = """
    SELECT
        (SELECT coalesce(max(place), 0) FROM messages WHERE peer = ?1 AND place < 1 << 62),
        EXISTS (SELECT 1 FROM messages WHERE peer = ?1 AND place = ?2)
"""
"""The last sequence of a conversation, and whether one of its messages has a certain one."""
FAMILIAR: Final = "SELECT 1 FROM messages WHERE peer = ? AND kind = 'text' LIMIT 1"
SEALED_AFTER: Final = """
    SELECT DISTINCT message_id FROM sealed
    WHERE name = ? AND device = ? AND (count > ? OR count IN (SELECT value FROM json_each(?)))
    ORDER BY message_id DESC LIMIT ?
"""


def message_of(row: sqlite3.Row) -> Message:
    """Make a message of its row."""
    return Message(
        message_id=row["message_id"],
        peer=row["peer"],
        outgoing=bool(row["outgoing"]),
        sender=row["sender"],
        text="" if row["withheld"] else row["text"],
        time_ms=row["time_ms"],
        seq=row["seq"],
        n=row["n"],
        device=row["device"],
        state=MessageState(row["state"]),
        error_code=row["error_code"],
        plain=bool(row["plain"]),
        withheld=bool(row["withheld"]),
        kind=row["kind"],
    )


def identity_of(delivery: Delivery, text: str, content_id: str) -> bytes:
    """Name a message so that it is found again, also in another lineage of the server's store.

    Sender, device and the id inside what was sealed say which message it is; of a plain one its
    number does. Addressee and text belong to it because a number may come with another message
    after a server and a client have both lost a part of their stores: that one must not be taken
    for the first.
    """
    sender, device = delivery.sender, delivery.device
    if content_id:
        return digest_of(("sealed", sender, device, content_id, delivery.to, text))
    return digest_of((sender, device, str(delivery.n), delivery.to, text))
