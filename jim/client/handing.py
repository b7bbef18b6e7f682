"""Hand the history over to a new device of the account, and take it in there, in the store.

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
from jim.client.encryption.contacts import Trust
from jim.client.encryption.content import Head
from jim.client.encryption.history import End, Past, Pinned
from jim.client.events import HistoryMoved, MessageState
from jim.client.mailbox import MailboxStore
from jim.client.store import Draft
from jim.client.store_rows import identity_of, message_of
from jim.core.names import normalise
from jim.crypto.transcript import link_hash
from jim.errors import NameInvalid
from jim.protocol.messages import RESET, Delivery, Link

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.content import Content
    from jim.client.mailbox import News

PART_BYTES: Final = 8 * 1024
"""Of a part: at the usual rate of 20 kB/s it goes in half a second, and so long at most does a
message wait that somebody writes meanwhile. In base64 and with its padding it is 11.3 kB."""

ROWS: Final = 64
"""Read at once: about as many short messages as a part takes."""

MAX_TRIES: Final = 2
"""So often is everything asked for again if parts are missing; a server that drops parts does so
again and again."""

INCOMPLETE: Final = "history_incomplete"
"""Code of a notice: not all of the history came that another device has handed over."""

_HELD: Final = "kind = 'text' AND state IN ('stored', 'delivered', 'received')"
_UNREAD: Final = "NOT outgoing AND handed <> 1 AND message_id > {after} AND message_id <= {upto}"
_NEXT_UNREAD: Final = f"""
    SELECT * FROM messages WHERE {_UNREAD.format(after="?1", upto="?2")} AND {_HELD}
    ORDER BY message_id LIMIT {ROWS}
"""
_END_OF_TALK: Final = f"""
    SELECT * FROM messages WHERE peer = ?1 AND {_HELD} AND message_id <= ?3
        AND NOT ({_UNREAD.format(after="?2", upto="?3")})
        AND (?4 = 0 OR (place, pending, message_id)
            < (SELECT place, pending, message_id FROM messages WHERE message_id = ?4))
    ORDER BY place DESC, pending DESC, message_id DESC LIMIT {ROWS}
"""
_LATER: Final = f"""
    SELECT * FROM messages WHERE message_id > ?1 AND {_HELD} AND device NOT IN (?2, ?3)
    ORDER BY message_id LIMIT {ROWS}
"""
_TOTAL: Final = f"SELECT count(*), coalesce(max(message_id), 0) FROM messages WHERE {_HELD}"
_CONTACTS_AFTER: Final = "SELECT name FROM contacts WHERE name > ? AND name <> ? ORDER BY name"
_KEEP_PAST: Final = """
    INSERT INTO messages
        (peer, outgoing, sender, device, n, text, time_ms, seq, place, state, identity, content_id,
         plain, handed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identity) DO NOTHING
    RETURNING *
"""


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


class HandingStore(MailboxStore):
    """The messages of one account on this device, those that go from device to device too."""

    # --- handing over -----------------------------------------------------------------------------

    def begin_handing(self, device: str, shown_id: int) -> None:
        """Hand everything over to a device, as soon as it is in the account's chain.

        `shown_id` is the last message of others that somebody has seen here.
        """
        self._keep_plan(device, Plan(shown_id=shown_id))

    def _keep_plan(self, device: str, plan: Plan) -> None:
        self._sql.execute(
            "INSERT OR REPLACE INTO handovers VALUES (?, ?)", (device, msgspec.json.encode(plan))
        )

    def _forget_plan(self, device: str) -> None:
        self._sql.execute("DELETE FROM handovers WHERE device = ?", (device,))

    def hand_on(self, text_bytes: int, now_ms: int) -> HistoryMoved | None:
        """Queue the next part of what is to be handed over; None if there is nothing."""
        me = self._contacts.get(self._name)
        present = me.state.keys if me and me.state else {}
        found = self._sql.execute("SELECT device, plan FROM handovers ORDER BY device").fetchall()
        for device, packed in found:
            plan = msgspec.json.decode(packed, type=Plan)
            if device in present:
                return self._hand_on(device, plan, text_bytes, now_ms)
            if plan.begun:  # it was taken out of the account meanwhile
                self._forget_plan(device)
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
        plan.total, plan.upto_id = self._sql.execute(_TOTAL).fetchone()
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
        return self._sql.execute(statement, which).fetchall()

    def _past(self, row: sqlite3.Row, *, unread: bool) -> tuple[Past, str]:
        message = message_of(row)
        own = message.outgoing and message.device == self._device
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
            size=len(message.text),
        )
        return past, message.text

    # --- taking in --------------------------------------------------------------------------------

    def _between_devices(self, frame: Delivery, content: Content, now_ms: int) -> list[News]:
        """Deal with what another device of our own account hands over; nobody else can."""
        kind, device = content.kind, frame.device
        if frame.sender != self._name:
            return super()._between_devices(frame, content, now_ms)
        if kind == history.CONTACTS:
            pinned = history.read_contacts(content.body)
            return [new for each in pinned for new in self._take_contact(each, now_ms)]
        if kind == history.HISTORY:
            return self._take_part(device, content.body)
        if kind == history.HISTORY_END:
            return self._take_end(frame, content.body, now_ms)
        if kind == history.HISTORY_WANTED:
            self.begin_handing(device, self.standing().highest_id)
            return [HistoryMoved(device, incoming=False, done=0, total=0)]
        return super()._between_devices(frame, content, now_ms)

    def _take_part(self, device: str, body: str) -> list[News]:
        read = history.read_part(body)
        if read is None:
            return []  # one part too few in the end
        part, texts = read
        self._sql.execute("INSERT OR IGNORE INTO handed (device) VALUES (?)", (device,))
        self._sql.execute("UPDATE handed SET parts = parts + 1 WHERE device = ?", (device,))
        news: list[News] = []
        for past, text in zip(part.messages, texts, strict=True):
            if self._is_possible(past):
                news += self._keep_past(past, text)
        return [*news, HistoryMoved(device, incoming=True, done=part.done, total=part.total)]

    def _is_possible(self, past: Past) -> bool:
        """Tell whether a message can be one of our account that is not from this device."""
        if not _is_name(past.peer):
            return False
        if past.outgoing:
            return past.device != self._device
        return past.peer != self._name and past.seq > 0

    def _keep_past(self, past: Past, text: str) -> list[News]:
        """Keep a message of before, unless it is here; gives what somebody still has to see."""
        sender = self._name if past.outgoing else past.peer
        to = past.peer if past.outgoing else self._name
        frame = Delivery(
            position=0,
            seq=past.seq,
            sender=sender,
            device=past.device,
            n=past.n,
            to=to,
            time=past.time,
        )
        kept = self._read(
            _KEEP_PAST,
            (
                *(past.peer, past.outgoing, sender, past.device, past.n, text, past.time),
                *(past.seq, past.seq or past.place, _state_of(past)),
                *(identity_of(frame, text, past.content_id), past.content_id, past.plain),
                2 if past.unread else 1,
            ),
        )
        return [message for message in kept if past.unread and not message.outgoing]

    def _take_end(self, frame: Delivery, body: str, now_ms: int) -> list[News]:
        end, device = history.read_end(body), frame.device
        row = self._sql.execute(
            "SELECT parts, tries FROM handed WHERE device = ?", (device,)
        ).fetchone()
        parts, tries = row or (0, 0)
        done = end.messages if end else 0
        news: list[News] = [HistoryMoved(device, True, done, done, ended=True)]  # noqa: FBT003
        if end is None or parts == end.parts:
            self._sql.execute("DELETE FROM handed WHERE device = ?", (device,))
            return news
        if tries >= MAX_TRIES:
            return [*news, self.note(INCOMPLETE, frame.time)]
        self._sql.execute(
            "INSERT OR REPLACE INTO handed (device, parts, tries) VALUES (?, 0, ?)",
            (device, tries + 1),
        )
        self._tell_device(history.HISTORY_WANTED, self._name, device, now_ms)
        return []

    def _take_contact(self, pinned: Pinned, now_ms: int) -> list[News]:
        """Pin a chain that our other device has pinned, after verifying it, and trust it alike."""
        name = pinned.name
        if name == self._name or not _is_name(name):
            return []
        if pinned.plain:
            self._contacts.allow_plain(name, allowed=True)
        if not pinned.links:
            return []
        news: list[News] = []
        end = _end_of(pinned.links)
        if not self._has(name, end):
            news = self.learn(name, pinned.links, now_ms)
        if self._has(name, end):
            self._trust_alike(name, pinned, end)
        return news

    def _has(self, name: str, end: Head) -> bool:
        contact = self._contacts.get(name)
        return contact is not None and contact.has(end)

    def _trust_alike(self, name: str, pinned: Pinned, end: Head) -> None:
        """Know of somebody what the other device knows, unless this one knows something itself."""
        contact = self._contacts.get(name)
        if contact is None or contact.trust is not Trust.FIRST:
            return
        if pinned.trust not in {Trust.VERIFIED, Trust.CHANGED}:
            return
        trust = Trust(pinned.trust)
        if any(link.op == RESET for link in contact.links[end.seq + 1 :]):
            trust = Trust.CHANGED  # what was verified is the chain before it began anew
        self._contacts.trust(name, trust)


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


def _end_of(links: Sequence[Link]) -> Head:
    return Head(links[-1].seq, link_hash(links[-1]))


def _state_of(past: Past) -> MessageState:
    if not past.outgoing:
        return MessageState.RECEIVED
    return MessageState.DELIVERED if past.delivered else MessageState.STORED


def _is_name(name: str) -> bool:
    try:
        return normalise(name) == name
    except NameInvalid:
        return False
