"""Take in what another device of the account hands over (`handing`), and believe only what is due.

That there is something to wait for is known as soon as this device is in the chain: whoever has
signed its link hands the history over. If one of the two goes on as another device, or is taken
out, this one asks for everything again: it is found here by its identity and is there once.
Only the device that is waited for can hand anything over. What it has verified counts as verified
here too, but every chain is verified anew, and one that contradicts what the server has shown here
is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.client.encryption import history
from jim.client.encryption.contacts import Trust
from jim.client.encryption.content import Head
from jim.client.events import HistoryMoved, MessageState
from jim.client.mailbox import MailboxStore
from jim.client.notice_store import INCOMPLETE
from jim.client.store_rows import identity_of
from jim.core.names import normalise
from jim.crypto import chain
from jim.crypto.transcript import link_hash
from jim.errors import NameInvalid
from jim.protocol.messages import RESET, Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.content import Content
    from jim.client.encryption.history import Past, Pinned
    from jim.client.mailbox import News
    from jim.protocol.messages import Link

MAX_TRIES: Final = 2
"""So often is everything asked for again if parts are missing; a server that drops parts does so
again and again."""

_HANDED: Final = frozenset({history.CONTACTS, history.HISTORY, history.HISTORY_END})
"""Kinds of contents that hand something over."""

_KEEP_PAST: Final = """
    INSERT INTO messages
        (peer, outgoing, sender, device, n, text, time_ms, seq, place, state, identity, content_id,
         plain, withheld, handed)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?13,
        ?13 AND NOT EXISTS (SELECT 1 FROM contacts WHERE name = ?1 AND contacts.plain), ?14)
    ON CONFLICT (identity) DO NOTHING
    RETURNING *
"""


class TakingStore(MailboxStore):
    """The messages of one account on this device, those that another one hands over too."""

    # --- from whom --------------------------------------------------------------------------------

    def learn(self, name: str, links: Sequence[Link], now_ms: int) -> list[News]:
        """Pin what the server shows of a device chain; gives what the user should know of it.

        Our own says who hands the history over to this device, and whether that goes on.
        """
        before = self._own_devices(self._contacts.get(name)) if name == self._name else ()
        news = super().learn(name, links, now_ms)
        me = self._contacts.get(self._name)
        present = self._own_devices(me)
        if name != self._name or me is None or self._device not in present:
            return news
        if self._device not in before:
            self._expect(chain.added_by(me.links, self._device))
        return news + self._ask_others(me, now_ms)

    def _own_devices(self, me: Contact | None) -> list[str]:
        """Give the devices of our account that something can be sealed for, the oldest first."""
        return list(me.state.keys) if me is not None and me.state is not None else []

    def _expect(self, device: str) -> bool:
        """Note that a device hands the history over; False if that is known, or it is no other."""
        if not device or self._was(device):
            return False
        noted = self._sql.execute("INSERT OR IGNORE INTO handed (device) VALUES (?)", (device,))
        return noted.rowcount > 0

    def _ask_others(self, me: Contact, now_ms: int) -> list[News]:
        """Ask another device for what one cannot hand over any more; say so if there is none."""
        present = self._own_devices(me)
        news: list[News] = []
        for (gone,) in self._sql.execute("SELECT device FROM handed").fetchall():
            if gone in present and gone != self._device:
                continue
            self._sql.execute("DELETE FROM handed WHERE device = ?", (gone,))
            other = self._other_for(gone, me)
            if not other:
                news.append(self.note(INCOMPLETE, now_ms))
            elif self._expect(other):
                self._tell_device(history.HISTORY_WANTED, self._name, other, now_ms)
        return news

    def _other_for(self, gone: str, me: Contact) -> str:
        """Give who hands over what a device cannot any more: the one in its place, or the latest.

        One that the words have added, and whom that one has let in, could be anybody's.
        """
        if me.state is None:
            return ""
        state, links = me.state, me.links
        others = [device for device in state.keys if device != self._device]
        successors = [each for each in others if chain.has_replaced(links, state, gone, each)]
        fitting = successors or [each for each in others if chain.is_let_in(links, each)]
        return fitting[-1] if fitting else ""

    def _replaced(self, now_ms: int) -> None:
        """Ask anew for everything: what was on its way is for the device that this was before."""
        super()._replaced(now_ms)
        self._sql.execute("UPDATE handed SET parts = 0")
        for (device,) in self._sql.execute("SELECT device FROM handed").fetchall():
            self._tell_device(history.HISTORY_WANTED, self._name, device, now_ms)

    # --- what it is -------------------------------------------------------------------------------

    def _between_devices(self, frame: Delivery, content: Content, now_ms: int) -> list[News]:
        """Deal with what another device of our own account hands over; nobody else can."""
        kind, device = content.kind, frame.device
        if frame.sender != self._name:
            return super()._between_devices(frame, content, now_ms)
        if kind in _HANDED and not self._may_hand(device):
            return []
        if kind == history.CONTACTS:
            pinned = history.read_contacts(content.body)
            return [new for each in pinned for new in self._take_contact(each, now_ms)]
        if kind == history.HISTORY:
            return self._take_part(device, content.body)
        if kind == history.HISTORY_END:
            return self._take_end(frame, content.body, now_ms)
        return super()._between_devices(frame, content, now_ms)

    def _may_hand(self, device: str) -> bool:
        """Tell whether the history is expected from a device.

        Any other one, of somebody who has found the recovery words for example, could make up what
        others have written, and whom the user has verified or allowed to write plain.
        """
        row = self._sql.execute("SELECT 1 FROM handed WHERE device = ?", (device,)).fetchone()
        return row is not None

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
            return not self._was(past.device)
        # One that was sealed again may have come without its sequence.
        return past.peer != self._name and (past.seq > 0 or bool(past.content_id))

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
        news: list[News] = [HistoryMoved(device, True, done, done, ended=True)]
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
