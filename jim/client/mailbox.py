# long module: everything that may come with one frame, in one transaction
"""What comes in: the part of an account's store that keeps it, opens it and says what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Struct, field

from jim.client import store_rows as sql
from jim.client.encryption import opening
from jim.client.encryption.contacts import MAX_DEVICES, Learned, Trust
from jim.client.encryption.content import AGAIN, HERE, SINCE, TEXT, UNREADABLE, Number, Since
from jim.client.encryption.opening import Lacking, Opened, Opening, Refused
from jim.client.encryption.peers import MAX_MISSING
from jim.client.events import HistoryMoved, Message, MessageState, MissingNotice
from jim.client.mark import digest_of
from jim.client.notice_store import (
    CHAIN_INVALID,
    DEVICE_ADDED,
    DEVICE_REMOVED,
    KEYS_CHANGED,
    VERIFIED_CHANGED,
    NoticeStore,
)
from jim.client.store import MAX_ASKED, RESENT, Again, Draft
from jim.crypto.chain import has_replaced
from jim.errors import ChainInvalid
from jim.protocol.messages import Delivery, Link, Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.encryption.contacts import Contact
    from jim.client.encryption.content import Content
    from jim.protocol.messages import Keys

REPAIR_MS: Final = 3_600_000
"""A session is mended once an hour and device at most (security.md): what a liar spoils again and
again must not use up the keys of the other side."""

MAX_RESENT: Final = 1000
"""Messages that wait to be sealed again for the devices of one account: for one that is new the
latest that nobody has collected. More would keep the outbox busy for minutes at the usual rate."""

_OWN_BUSINESS: Final = frozenset({AGAIN, HERE, SINCE})
"""Kinds that the store deals with by itself; all others are told as `FromDevice`."""

Frame = Delivery | Notice


class FromDevice(Struct, frozen=True):
    """Something for this device that is neither a text nor the store's own business.

    It is told once, after it is durable that it has come, and kept nowhere: whoever takes it must
    be able to begin anew.
    """

    name: str
    device: str
    kind: str
    body: str


News = Message | MissingNotice | HistoryMoved | FromDevice


class Kept(Struct):
    """What came of frames.

    Attributes:
        news: what was not here before, in its order.
        position: of the last frame that is dealt with.
        lacking: whose chain has to be looked at before the next one can be, empty for nobody.
    """

    news: list[News] = field(default_factory=list)
    position: int = 0
    lacking: str = ""


class MailboxStore(NoticeStore):
    """The messages of one account on this device, those that come in too."""

    def _be(self, name: str, device: str, key: bytes | None) -> None:
        super()._be(name, device, key)
        self._asked: dict[tuple[str, str], int] = {}
        """The first count that was missing of a device when it was last asked."""
        self._opening = (
            None
            if self._vault is None
            else Opening(self._sql, (name, device), self._contacts, self._vault, self._peers)
        )

    # --- frames ---------------------------------------------------------------------------------

    def keep(
        self, frames: Sequence[Frame], now_ms: int = 0, fresh: frozenset[str] = frozenset()
    ) -> Kept:
        """Store what came, in its order, and move the cursor; up to what lacks a chain.

        `fresh` are accounts whose chains were just looked at, so that no more can be known.
        """
        kept = Kept()
        for frame in frames:
            if isinstance(frame, Notice):
                kept.news += self._note_of_server(frame, now_ms)
            elif frame.ciphertext is UNSET:
                text = "" if frame.message is UNSET else frame.message
                kept.news += self._insert(frame, text, plain=True)
            elif not self._keep_sealed(frame, frame.ciphertext, now_ms, fresh, kept):
                break
            kept.position = frame.position
        if kept.position:
            self._sql.execute("UPDATE account SET position = ?", (kept.position,))
        return kept

    def _keep_sealed(
        self, frame: Delivery, ciphertext: str, now_ms: int, fresh: frozenset[str], kept: Kept
    ) -> bool:
        """Deal with a sealed frame; False if it has to wait for a chain."""
        opened = self._open(frame, ciphertext, fresh)
        if isinstance(opened, Lacking):
            kept.lacking = opened.name
            return False
        if isinstance(opened, Refused) and self._is_known(frame, ciphertext):
            return True
        if isinstance(opened, Refused):
            kept.news += self._refuse(opened, frame, now_ms)
            if opened.code == opening.UNDECRYPTABLE:
                self._mend(frame, now_ms)
            return True
        kept.news += self._take(frame, opened, now_ms)
        is_text = opened.content.kind == TEXT
        if not frame.seq or not is_text:
            position = 0 if is_text else frame.position
            self._sql.execute(sql.OPENED, (position, digest_of([ciphertext])))
        return True

    def _note_of_server(self, frame: Notice, now_ms: int) -> list[News]:
        """Keep what the server says is missing: nobody is told that without end."""
        if self._may_alarm(now_ms):
            return [self.note_of_server(frame.code, frame.time, frame.position)]
        self._sql.execute(sql.PASSED, (frame.position, 0))
        return []

    def _refuse(self, refused: Refused, frame: Delivery, now_ms: int) -> list[News]:
        """Say why a frame is not believed: once for all of a kind that follow each other.

        Of people whom nobody here has talked with a server can invent as many as it likes.
        """
        peer = _peer_of(frame, self._name)
        was_said = self._was_said(refused.code, peer)
        if was_said or not (self._is_familiar(peer) or self._may_alarm(now_ms)):
            self._sql.execute(sql.PASSED, (frame.position, 0))
            return []
        return [self._note_about(refused.code, frame, position=frame.position)]

    def _is_known(self, frame: Delivery, ciphertext: str) -> bool:
        """Tell whether this was opened before, and note that it stands here too.

        A server that was restored sends again what it still has, and no ratchet opens it twice.
        """
        which = (frame.sender, frame.device, frame.n, frame.seq)
        known = self._sql.execute(sql.KNOWN, (*which, digest_of([ciphertext]))).fetchone()[0]
        if known and not self._sql.execute(sql.PLACE_AGAIN, (frame.position, *which)).rowcount:
            self._sql.execute(sql.PASSED, (frame.position, 0))
        return bool(known)

    def _open(
        self, frame: Delivery, ciphertext: str, fresh: frozenset[str]
    ) -> Opened | Refused | Lacking:
        if self._opening is None:
            return Refused(opening.UNDECRYPTABLE)
        return self._opening.open(frame, ciphertext, fresh)

    def _mend(self, frame: Delivery, now_ms: int) -> None:
        """Ask for what could not be opened, over a new session if it is time for one.

        What was for this device alone is asked for with a new session only: it may have been a
        question itself, and two who cannot open each other's would ask for ever.
        """
        sender, device = frame.sender, frame.device
        self._peers.note_unopened(sender, device)
        if self._vault is None:
            return
        is_due = self._peers.may_repair(sender, device, now_ms, REPAIR_MS)
        if is_due:
            self._vault.wedge(sender, device)
        if is_due or frame.seq:
            self._tell_device(AGAIN, sender, device, now_ms)

    def _take(self, frame: Delivery, opened: Opened, now_ms: int) -> list[News]:
        """Take what was opened; gives what is new for the user."""
        content = opened.content
        news: list[News] = []
        for code in opened.warnings:
            news += self._warn(code, _peer_of(frame, self._name), frame.time)
        if opened.gap and not self._was_said(opening.DROPPED, _peer_of(frame, self._name)):
            news.append(self._note_about(opening.DROPPED, frame))
        if self._is_worth_asking(frame, content):
            self._tell_device(AGAIN, frame.sender, frame.device, now_ms)
        if content.kind == TEXT:
            inserted = self._insert_content(frame, content)
            if inserted and not opened.is_new:
                news.append(self._note_about(opening.CLONED, frame))
            return [*news, *inserted]
        if opened.is_new:
            news += self._between_devices(frame, content, now_ms)
        return news

    def _note_about(self, code: str, frame: Delivery, position: int = 0) -> MissingNotice:
        return self.note(code, frame.time, position=position, peer=_peer_of(frame, self._name))

    def _is_worth_asking(self, frame: Delivery, content: Content) -> bool:
        """Tell whether to ask for what is missing of a device.

        Repetitions end with `HERE`, which says what is still to be had. Where not even the first of
        what is missing has come by then, or by a question of the other side, asking once more
        brings nothing: two clients would go on with that for ever. The next text asks again.
        """
        which = (frame.sender, frame.device)
        missing = [] if content.was else self._peers.missing(*which)
        if not missing or (content.kind in _OWN_BUSINESS and self._asked.get(which) == missing[0]):
            return False
        self._asked[which] = missing[0]
        return True

    def _insert_content(self, frame: Delivery, content: Content) -> list[Message]:
        """Store a text in its place; one that was sealed again has it inside.

        Its author alone says so: where something else stands, or far behind everything, no message
        can have been lost, and what is new must not pass for old, nor stay the last one for good.
        It is the same message if another device of its author has sealed it again, which has taken
        the place of the one that had sent it.
        """
        if not frame.seq:
            n = content.n or frame.n
            if self._has_been_in(frame.sender, content.origin):
                frame = msgspec.structs.replace(frame, device=content.origin, n=n)
            if self._may_stand(_peer_of(frame, self._name), content.seq):
                frame = msgspec.structs.replace(frame, seq=content.seq, n=n, time=content.time)
        return self._insert(frame, content.body, content_id=content.id)

    def _has_been_in(self, name: str, device: str) -> bool:
        contact = self._contacts.get(name)
        return contact is not None and any(link.device == device for link in contact.links)

    def _may_stand(self, peer: str, seq: int) -> bool:
        """Tell whether a message of the conversation that is not here can have this sequence."""
        last, taken = self._sql.execute(sql.STANDS, (peer, seq)).fetchone()
        return not taken and (last == 0 or seq <= last + MAX_MISSING)

    def _insert(
        self, frame: Delivery, text: str, *, content_id: str = "", plain: bool = False
    ) -> list[Message]:
        outgoing = frame.sender == self._name
        if outgoing and self._was(frame.device):
            own = (frame.device, frame.n, frame.to, text)
            placed = self._sql.execute(sql.PLACE_OWN, (frame.position, *own)).rowcount
            if placed or frame.device == self._device:
                if not placed:
                    self._sql.execute(sql.PASSED, (frame.position, 0))
                return []
        identity = sql.identity_of(frame, text, content_id)
        kept = self._read(
            sql.KEEP,
            (
                frame.to if outgoing else frame.sender,
                outgoing,
                frame.sender,
                frame.device,
                frame.n,
                text,
                frame.time,
                frame.seq,
                MessageState.STORED if outgoing else MessageState.RECEIVED,
                identity,
                frame.position,
                content_id,
                plain,
            ),
        )
        # It was here: a server that was restored sends again what it still has, and a device what
        # it was asked for.
        if not kept and not self._sql.execute(sql.PLACE_KNOWN, (frame.position, identity)).rowcount:
            self._sql.execute(sql.PASSED, (frame.position, 0))
        return kept

    def _replaced(self, now_ms: int) -> None:
        """Do anew what goes on between devices: this one has just become another one."""

    def _was(self, device: str) -> bool:
        """Tell whether this store is a device, or was it before it became another one."""
        former = self._sql.execute("SELECT 1 FROM former WHERE device = ?", (device,))
        return device == self._device or former.fetchone() is not None

    # --- between devices --------------------------------------------------------------------------

    def _between_devices(self, frame: Delivery, content: Content, now_ms: int) -> list[News]:
        """Deal with what was meant for this device and not for people."""
        if content.kind == AGAIN:
            self._seal_again(frame, content.body, now_ms)
        elif content.kind == SINCE:
            self._seal_since(frame, content.body, now_ms)
        if content.kind in _OWN_BUSINESS:
            return []
        return [FromDevice(frame.sender, frame.device, content.kind, content.body)]

    def _seal_since(self, frame: Delivery, body: str, now_ms: int) -> None:
        """Queue for a device what was sealed for the one that it has taken the place of."""
        contact = self._contacts.get(frame.sender)
        try:
            since = msgspec.json.decode(body, type=Since)
        except UNREADABLE:
            return
        if contact is None or contact.state is None:
            return
        # Whoever has got hold of the recovery words could otherwise ask everybody for the past.
        if not has_replaced(contact.links, contact.state, since.device, frame.device):
            return
        missing = msgspec.json.encode(since.missing).decode()
        room = self._room_for(contact)
        asked = (frame.sender, since.device, since.after, missing, room)
        for (message_id,) in reversed(self._sql.execute(sql.SEALED_AFTER, asked).fetchall()):
            message = self.message(message_id)
            if message is not None and self._is_for(message, frame.sender) and message.is_stored:
                self._queue_again(message, frame.device, now_ms, was=0)

    def _seal_again(self, frame: Delivery, body: str, now_ms: int) -> None:
        """Queue again for a device what never came there; what is gone is given up."""
        sender, device = frame.sender, frame.device
        gone: list[int] = []
        room = self._room_for(self._contacts.get(sender))
        for count in _counts(body):
            message_id = self._peers.message_of(sender, device, count)
            message = None if message_id is None else self.message(message_id)
            if message is None or not self._is_for(message, sender):
                gone.append(count)
            elif message.is_stored and room > 0:
                room -= 1
                self._queue_again(message, device, now_ms, was=count)
        self._peers.voids(sender, device, gone)
        self._tell_device(HERE, sender, device, now_ms)

    def _room_for(self, contact: Contact | None) -> int:
        """Tell how many more messages may wait to be sealed again for the devices of an account.

        What somebody asks for again and again must not hold up what is written to others.
        """
        devices = list(contact.state.keys) if contact and contact.state else []
        asked = (RESENT, msgspec.json.encode(devices).decode())
        (waiting,) = self._sql.execute(sql.WAIT_FOR, asked).fetchone()
        return max(0, MAX_RESENT - int(waiting))

    def _is_for(self, message: Message, name: str) -> bool:
        """Tell whether a message was sealed for an account: the addressee's or our own."""
        return message.outgoing and name in {message.peer, self._name}

    def _queue_again(self, message: Message, device: str, now_ms: int, *, was: int) -> None:
        text = msgspec.json.encode(Again(message.message_id, was)).decode()
        key = f"{RESENT} {message.message_id} {device} {was}"
        draft = Draft(message.peer, text, now_ms, key, RESENT, device)
        if self._by_key(key) is None:
            self._queue(draft)

    def _tell_device(self, kind: str, name: str, device: str, now_ms: int) -> None:
        """Queue something for one device, unless the same waits already."""
        if self._sql.execute(sql.IS_QUEUED, (kind, device)).fetchone() is None:
            self._queue(Draft(name, "", now_ms, None, kind, device))

    # --- chains and keys --------------------------------------------------------------------------

    def learn(self, name: str, links: Sequence[Link], now_ms: int) -> list[News]:
        """Pin what the server shows of a device chain; gives what the user should know of it."""
        try:
            learned = self._contacts.learn(name, links, bounded=name != self._name)
        except ChainInvalid:
            may_warn = self._is_familiar(name) or self._may_alarm(now_ms)
            return [*self._warn(CHAIN_INVALID, name, now_ms)] if may_warn else []
        joined = name == self._name and self._device in learned.added
        if learned.is_new or joined:
            return []  # what was before us is no news
        if name != self._name:
            present = learned.contact.state.keys if learned.contact.state else {}
            for device in filter(present.__contains__, learned.added):
                self._seal_for_new(name, device, now_ms)
        return [self.note(code, now_ms, peer=name) for code in _codes_of(learned)]

    def _seal_for_new(self, name: str, device: str, now_ms: int) -> None:
        """Queue for a new device what none of its account has collected so far."""
        room = self._room_for(self._contacts.get(name))
        found = self._sql.execute(sql.UNDELIVERED_TO, (name, self._device, room)).fetchall()
        for (message_id,) in reversed(found):
            if (message := self.message(message_id)) is not None:
                self._queue_again(message, device, now_ms, was=0)

    def chain_seq(self, name: str) -> int:
        """Give the number of the last link that is known of somebody, -1 for none."""
        contact = self._contacts.get(name)
        return -1 if contact is None else contact.seq

    def offer_keys(self, at_server: int, now_ms: int) -> Keys | None:
        """Give the keys that the server should get, None if it has enough."""
        return None if self._vault is None else self._vault.offer(at_server, now_ms)

    def keys_taken(self, keys: Keys) -> None:
        """Note that the server has these keys."""
        if self._vault is not None:
            self._vault.offer_taken(keys)

    def move_cursor(self, epoch: str, position: int) -> None:
        """Set where the mailbox is read from: what was known of it up to here counts no more."""
        self._sql.execute(
            "UPDATE account SET epoch = ?1, position = ?2, walked_from = ?2", (epoch, position)
        )
        # They belong to another lineage, or to what nobody can say whether it was whole.
        self._sql.execute("UPDATE messages SET position = 0 WHERE position <> 0")
        self._sql.execute("UPDATE notices SET position = 0 WHERE position <> 0")
        self._sql.execute("DELETE FROM passed WHERE position <> 0 AND digest IS NULL")
        # What was opened comes again from there, and no ratchet opens it twice.
        self._sql.execute("UPDATE passed SET position = 0 WHERE position <> 0")


def _peer_of(frame: Delivery, name: str) -> str:
    return frame.to if frame.sender == name else frame.sender


def _counts(body: str) -> list[int]:
    """Read the counts that a device asks for; nothing where it asks for nonsense.

    No more than an honest one asks for: each is a search in the store.
    """
    try:
        return msgspec.json.decode(body, type=list[Number])[:MAX_ASKED]
    except UNREADABLE:
        return []


def _codes_of(learned: Learned) -> list[str]:
    if learned.restarted:
        return [VERIFIED_CHANGED if learned.contact.trust is Trust.CHANGED else KEYS_CHANGED]
    passing = len(learned.passing)
    added, removed = len(learned.added) + passing, len(learned.removed) + passing
    # Who adds and removes devices without end is told of as often as an account can have some.
    return [DEVICE_ADDED] * min(added, MAX_DEVICES) + [DEVICE_REMOVED] * min(removed, MAX_DEVICES)
