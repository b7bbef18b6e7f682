"""Hand the history over to a new device of the account: what the store has to do for it.

It goes as sealed contents for that one device (`jim.client.encryption.history`), one after the
other: first the contacts, so that who was verified stays so; then what nobody has read, then the
conversations, the latest first and each from its end. A part is queued in the same transaction that
moves the plan on, so nothing is handed over twice or left out, whenever one of the two dies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from jim.client.encryption import history
from jim.client.encryption.history import End, Past, Pinned
from jim.client.events import HistoryMoved, MessageState
from jim.client.store import Draft
from jim.client.store_rows import message_of
from jim.client.taking import TakingStore
from jim.crypto import chain

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.content import Content
    from jim.client.mailbox import News
    from jim.protocol.messages import Delivery, Link

PART_BYTES: Final = 8 * 1024
"""Of a part: at the usual rate of 20 kB/s it goes in half a second, and so long at most does a
message wait that somebody writes meanwhile. In base64 and with its padding it is 11.3 kB."""

ROWS: Final = 64
"""Read at once: about as many short messages as a part takes."""

_NEXT_UNREAD: Final = """
    SELECT * FROM messages WHERE NOT outgoing AND handed <> 1 AND message_id > ?1
        AND message_id <= ?2 AND kind = 'text' AND state = 'received'
    ORDER BY message_id LIMIT ?3
"""
_END_OF_TALK: Final = """
    SELECT * FROM messages WHERE peer = ?1 AND kind = 'text' AND message_id <= ?3
        AND state IN ('stored', 'delivered', 'received')
        AND (outgoing OR handed = 1 OR message_id <= ?2)
        AND (?4 = 0 OR (place, pending, message_id)
            < (SELECT place, pending, message_id FROM messages WHERE message_id = ?4))
    ORDER BY place DESC, pending DESC, message_id DESC LIMIT ?5
"""
_LATER: Final = """
    SELECT * FROM messages WHERE message_id > ?1 AND device NOT IN (?2, ?3) AND kind = 'text'
        AND state IN ('stored', 'delivered', 'received')
    ORDER BY message_id LIMIT ?4
"""
_STOCK: Final = """
    SELECT count(*), coalesce(max(message_id), 0) FROM messages
    WHERE kind = 'text' AND state IN ('stored', 'delivered', 'received')
"""
_CONTACTS_AFTER: Final = "SELECT name FROM contacts WHERE name > ? AND name <> ? ORDER BY name"


class Plan(Struct, kw_only=True):
    """How far the history has been handed over to a device.

    Attributes:
        shown_id: what others wrote after this message has not been read yet.
        begun: the device is in the chain, and the rest is known.
        contact: the last contact that was handed over.
        link: so many links of the next one were.
        unread_id: up to which message what was not read is handed over.
        upto_id: the last message that was here when it began.
        talks: the conversations that are left.
        before_id: the last message of the first of them that was handed over, 0 for none.
        later_id: up to which message that came since is handed over.
        done: messages handed over, of `total`.
        parts: in so many parts.
    """

    shown_id: int
    begun: bool = False
    contact: str = ""
    link: int = 0
    unread_id: int = 0
    upto_id: int = 0
    talks: list[str] = []
    before_id: int = 0
    later_id: int = 0
    done: int = 0
    total: int = 0
    parts: int = 0


class _Filling:
    """A part that is being filled."""

    def __init__(self, room_bytes: int, longest_bytes: int) -> None:
        self.messages: list[tuple[Past, str]] = []
        self._room = room_bytes
        self._longest = longest_bytes

    def takes(self, past: Past, text: str) -> bool:
        """Put a message in, False if it has to wait; one that fits nowhere is passed over."""
        if len(text.encode()) > self._longest:
            return True
        size = history.size_of(past, text)
        if self.messages and size > self._room:
            return False
        self._room -= size
        self.messages.append((past, text))
        return True


class HandingStore(TakingStore):
    """The messages of one account on this device, those that go from device to device too."""

    # --- handing over -----------------------------------------------------------------------------

    def begin_handing(self, device: str, shown_id: int) -> None:
        """Hand everything over to a device, as soon as it is in the account's chain.

        `shown_id` is the last message of others that somebody has seen here.
        """
        self._keep_plan(device, Plan(shown_id=shown_id))

    def _replaced(self, now_ms: int) -> None:
        """Begin anew: parts that had not gone out yet were for sessions that are there no more."""
        super()._replaced(now_ms)
        found = self._sql.execute("SELECT device, plan FROM handovers").fetchall()
        for device, packed in found:
            plan = msgspec.json.decode(packed, type=Plan)
            self.begin_handing(device, plan.shown_id)

    def _keep_plan(self, device: str, plan: Plan) -> None:
        self._sql.execute(
            "INSERT OR REPLACE INTO handovers VALUES (?, ?)", (device, msgspec.json.encode(plan))
        )

    def _forget_plan(self, device: str) -> None:
        self._sql.execute("DELETE FROM handovers WHERE device = ?", (device,))

    def hand_on(self, text_bytes: int, now_ms: int) -> HistoryMoved | None:
        """Queue the next part of what is to be handed over; None if there is nothing.

        What was begun for a device that is in the account no longer ends with that.
        """
        me = self._contacts.get(self._name)
        present = me.state.keys if me and me.state else {}
        found = self._sql.execute("SELECT device, plan FROM handovers ORDER BY device").fetchall()
        for device, packed in found:
            plan = msgspec.json.decode(packed, type=Plan)
            if device in present:
                return self._hand_on(device, plan, text_bytes, now_ms)
            if plan.begun or (me and me.state and device in me.state.revoked):
                self._forget_plan(device)
                return HistoryMoved(device, False, plan.done, plan.total, ended=True, is_gone=True)
        return None

    def _hand_on(self, device: str, plan: Plan, text_bytes: int, now_ms: int) -> HistoryMoved:
        if not plan.begun:
            self._begin(plan)
        kind, body = self._next_part(device, plan, text_bytes)
        self._queue(Draft(self._name, body, now_ms, None, kind, device))
        if kind == history.HISTORY_END:
            self._forget_plan(device)
        else:
            self._keep_plan(device, plan)
        return HistoryMoved(device, incoming=False, done=plan.done, total=plan.total)

    def _begin(self, plan: Plan) -> None:
        """Take stock: what comes from now on is sealed for the new device as well."""
        plan.begun = True
        plan.total, plan.upto_id = self._sql.execute(_STOCK).fetchone()
        plan.unread_id, plan.later_id = plan.shown_id, plan.upto_id
        plan.talks = [each.peer for each in self.conversations()]

    def _next_part(self, device: str, plan: Plan, text_bytes: int) -> tuple[str, str]:
        """Give kind and body of the next part, and move the plan behind it."""
        room = min(PART_BYTES, text_bytes) - history.LINE_BYTES
        if contacts := self._next_contacts(plan, room):
            return history.CONTACTS, history.write_contacts(contacts)
        filling = _Filling(room, text_bytes)
        for past, text in self._rest(device, plan):
            if not filling.takes(past, text):
                break
        if not filling.messages:
            return history.HISTORY_END, history.write_end(End(plan.parts, plan.done))
        plan.parts += 1
        plan.done += len(filling.messages)
        plan.total = max(plan.total, plan.done)
        return history.HISTORY, history.write_part(plan.done, plan.total, filling.messages)

    def _next_contacts(self, plan: Plan, room: int) -> list[Pinned]:
        names = self._sql.execute(_CONTACTS_AFTER, (plan.contact, self._name)).fetchall()
        found: list[Pinned] = []
        for (name,) in names:
            contact = self._contacts.get(name)
            if contact is None:
                continue
            pinned = _piece(contact, plan.link, room, may_be_empty=bool(found))
            if pinned is None:
                break
            found.append(pinned)
            room -= len(msgspec.json.encode(pinned)) + 1
            plan.link += len(pinned.links)
            if plan.link < len(contact.links):
                break
            plan.contact, plan.link = name, 0
        return found

    def _rest(self, device: str, plan: Plan) -> Iterator[tuple[Past, str]]:
        """Give the messages that are left; the plan moves behind each with the step after it."""
        while rows := self._rows(_NEXT_UNREAD, (plan.unread_id, plan.upto_id)):
            for row in rows:
                yield self._past(row, unread=True)
                plan.unread_id = row["message_id"]
        while plan.talks:
            which = (plan.talks[0], plan.shown_id, plan.upto_id, plan.before_id)
            rows = self._rows(_END_OF_TALK, which)
            for row in rows:
                yield self._past(row, unread=False)
                plan.before_id = row["message_id"]
            if not rows:
                plan.talks, plan.before_id = plan.talks[1:], 0
        # What was on its way to us while the device was added; most of it came there by itself.
        while rows := self._rows(_LATER, (plan.later_id, self._device, device)):
            for row in rows:
                yield self._past(row, unread=not row["outgoing"])
                plan.later_id = row["message_id"]

    def _rows(self, statement: str, which: Sequence[object]) -> list[sqlite3.Row]:
        return self._sql.execute(statement, (*which, ROWS)).fetchall()

    def _past(self, row: sqlite3.Row, *, unread: bool) -> tuple[Past, str]:
        message = message_of(row)
        own = message.outgoing and self._was(message.device)
        content_id = row["content_id"]
        if own and not message.plain:
            content_id = self._mark_of(message)
        past = Past(
            peer=message.peer,
            outgoing=message.outgoing,
            device=message.device,
            n=message.n,
            seq=message.seq,
            time=message.time_ms,
            content_id=content_id,
            plain=message.plain,
            delivered=message.state is MessageState.DELIVERED,
            unread=unread,
            place=0 if message.seq else row["place"],
            size=len(row["text"]),
        )
        return past, row["text"]

    def _between_devices(self, frame: Delivery, content: Content, now_ms: int) -> list[News]:
        """Begin anew for a device of our own that asks for that; the rest is taken in.

        While it goes on anyway, its end is going to say whether anything is missing.
        """
        if content.kind != history.HISTORY_WANTED or frame.sender != self._name:
            return super()._between_devices(frame, content, now_ms)
        if not self._may_have(frame.device):
            return []
        known = self._sql.execute("SELECT 1 FROM handovers WHERE device = ?", (frame.device,))
        if known.fetchone() is None:
            self.begin_handing(frame.device, self.standing().highest_id)
        return [HistoryMoved(frame.device, incoming=False, done=0, total=0)]

    def _may_have(self, device: str) -> bool:
        """Tell whether a device may ask this one for the past.

        That is so if this one has let it in, whose user was asked; or if the one that did is out
        now, and was itself let in by devices alone. What the recovery words have added gets nothing
        of the past by asking for it, nor does whom that has let in.
        """
        own = self._contacts.get(self._name)
        if own is None or own.state is None:
            return False
        giver = chain.added_by(own.links, device)
        if self._was(giver):
            return True
        return giver not in own.state.devices and chain.is_let_in(own.links, device)


def _piece(contact: Contact, first: int, room: int, *, may_be_empty: bool) -> Pinned | None:
    """Give as much of a chain as there is room for, at least one link; None for no room."""
    links: list[Link] = []
    for link in contact.links[first:]:
        room -= len(msgspec.json.encode(link)) + 1
        if room < 0 and (links or may_be_empty):
            break
        links.append(link)
    if not links and contact.links:
        return None
    whole = first + len(links) == len(contact.links)
    return Pinned(contact.name, links, contact.trust if whole else "", contact.plain)
