"""What has to be true of a stored mailbox, of a device's answers and of a conversation.

Pure checks over what a store reads to them, in its order; `jim-server verify` and the fault harness
use them. They never repair and never guess: each finding names one place that contradicts the
promise, or the counters that the promise rests on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import UNSET, Struct

from jim.core.findings import Fault, Finding, Mailbox
from jim.core.model import MailboxState, Stored
from jim.protocol.codec import FROM_SERVER
from jim.protocol.messages import Delivery, Notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DIGEST_BYTES: Final = 16
"""Of what tells two messages apart: by chance they never meet below 2^64 messages."""


class Author(Struct, frozen=True):
    """A device that has sent: `answers` are those that are kept, the last one for `last_n`."""

    device_id: int
    last_n: int
    answers: Sequence[Stored]

    def answer(self, n: int) -> Stored | None:
        """Give the answer that a number got, as long as it is kept."""
        for stored in self.answers:
            if stored.n <= n <= stored.last_n:
                return Stored(n, stored.place(n), stored.time_ms, stored.skipped)
        return None


class Talk(Struct, frozen=True):
    """A conversation, and who has written in it."""

    conversation_id: int
    last_seq: int
    writers: frozenset[str]


class Directory(Protocol):
    """What a mailbox is compared with, and a memory of every message that was seen before."""

    def author(self, name: str, device: str) -> Author | None:
        """Give the device of an account, None if there is no such account or device."""

    def talk(self, name: str, other: str) -> Talk | None:
        """Give the conversation of two accounts, None if they have none."""

    def agrees_place(self, conversation_id: int, seq: int, digest: bytes) -> bool:
        """Remember which message has a place; False if it was another one in some mailbox."""

    def agrees_number(self, device_id: int, n: int, digest: bytes) -> bool:
        """Remember which message has a number; False if it was another one in some mailbox."""


class MailboxAudit:
    """One mailbox; takes its segments in the order of their first positions."""

    def __init__(self, mailbox: Mailbox, directory: Directory) -> None:
        """Begin at the first position that is not confirmed."""
        self._mailbox, self._directory = mailbox, directory
        self._next = mailbox.acked + 1
        self._begun = False
        self._seqs: dict[int, int] = {}
        self._closed_by_notice = False

    def add(self, first: int, last: int, frames: bytes, marks: Mapping[int, int]) -> list[Finding]:
        """Take the next segment."""
        found = list(self._place(first, last))
        try:
            decoded = FROM_SERVER.json.decode_lines(frames)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            return [*found, self._finding(Fault.FRAMES, first, last, detail=str(error))]
        if len(decoded) != last - first + 1:
            found.append(self._finding(Fault.FRAMES, first, last, detail=str(len(decoded))))
        expected: dict[int, int] = {}
        for position, frame in enumerate(decoded, first):
            found += self._frame(position, frame, expected)
        if expected != marks:
            found.append(self._finding(Fault.MARKS, first, last))
        return found

    def end(self) -> Iterator[Finding]:
        """Check the end of the mailbox, once every segment was there."""
        mailbox = self._mailbox
        if self._next <= mailbox.last_position:
            yield self._finding(Fault.POSITIONS, self._next, mailbox.last_position)
        if mailbox.acked > mailbox.last_position or mailbox.acked < 0:
            yield self._finding(Fault.STATE, mailbox.acked, mailbox.last_position)
        stale = mailbox.state == MailboxState.STALE
        revoked = mailbox.state == MailboxState.REVOKED
        if (
            stale != self._closed_by_notice
            or bool(mailbox.waiting) != bool(mailbox.waiting_since_ms)
            or (revoked and mailbox.waiting)
        ):
            yield self._finding(Fault.STATE, detail=str(mailbox.state))

    def _place(self, first: int, last: int) -> Iterator[Finding]:
        """Check that a segment joins the one before it and lies within the mailbox."""
        mailbox = self._mailbox
        if last <= mailbox.acked:
            yield self._finding(Fault.LEFT_OVER, first, last)
            return
        straddles = not self._begun and first <= self._next
        self._begun = True
        if first > self._next:
            yield self._finding(Fault.POSITIONS, self._next, first - 1)
        elif first < self._next and not straddles:
            yield self._finding(Fault.DOUBLED, first, min(last, self._next - 1))
        if last > mailbox.last_position:
            yield self._finding(Fault.LEFT_OVER, max(first, mailbox.last_position + 1), last)
        self._next = max(self._next, last + 1)

    def _frame(self, position: int, frame: object, expected: dict[int, int]) -> Iterator[Finding]:
        if not isinstance(frame, Delivery | Notice):
            yield self._finding(Fault.FRAMES, position, position, detail=type(frame).__name__)
            return
        if frame.position != position:
            yield self._finding(Fault.SHIFTED, position, position, detail=str(frame.position))
        if self._closed_by_notice:
            yield self._finding(Fault.STATE, position, position, detail=str(self._mailbox.state))
        if isinstance(frame, Notice):
            self._closed_by_notice = True
        else:
            yield from self._delivery(position, frame, expected)

    def _delivery(
        self, position: int, frame: Delivery, expected: dict[int, int]
    ) -> Iterator[Finding]:
        """Check whom a message is for and who wrote it, then its place and its number."""
        mailbox, sender = self._mailbox, frame.sender
        is_sealed = frame.ciphertext is not UNSET
        if is_sealed == (frame.message is not UNSET) or not (frame.seq or is_sealed):
            yield self._finding(Fault.FRAMES, position, position, detail="ciphertext")
            return
        mine = sender == mailbox.account
        if mailbox.account not in {sender, frame.to} or (mine and frame.device == mailbox.device):
            yield self._finding(Fault.FOREIGN, position, position, peer=sender, detail=frame.to)
            return
        author = self._directory.author(sender, frame.device)
        if author is not None and not frame.seq:
            # For this device alone: it has no place, and needs no conversation.
            yield from self._number(position, frame, author)
            yield from self._agree_number(position, frame, author)
            return
        talk = self._directory.talk(sender, frame.to)
        if author is None or talk is None or sender not in talk.writers:
            yield self._finding(Fault.REFERENCE, position, position, peer=sender, detail=frame.to)
            return
        if not mine:
            key = talk.conversation_id
            expected[key] = max(frame.seq, expected.get(key, 0))
        yield from self._sequence(position, frame, talk)
        yield from self._number(position, frame, author)
        yield from self._agree_place(position, frame, talk)
        yield from self._agree_number(position, frame, author)

    def _sequence(self, position: int, frame: Delivery, talk: Talk) -> Iterator[Finding]:
        before = self._seqs.get(talk.conversation_id, 0)
        if frame.seq <= before:
            yield self._finding(
                Fault.ORDER, position, position, peer=frame.sender, detail=f"{before}, {frame.seq}"
            )
        if frame.seq > talk.last_seq:
            yield self._finding(
                Fault.SEQUENCE,
                position,
                position,
                peer=frame.sender,
                detail=f"{frame.seq} > {talk.last_seq}",
            )
        self._seqs[talk.conversation_id] = frame.seq

    def _number(self, position: int, frame: Delivery, author: Author) -> Iterator[Finding]:
        answer = author.answer(frame.n)
        fits = answer is None or (answer.seq, answer.time_ms) == (frame.seq, frame.time)
        if not 1 <= frame.n <= author.last_n or not fits:
            yield self._finding(
                Fault.NUMBER, position, position, peer=frame.sender, detail=str(frame.n)
            )

    def _agree_place(self, position: int, frame: Delivery, talk: Talk) -> Iterator[Finding]:
        """Compare the message with what other mailboxes have under its place."""
        digest = self._digest(frame)
        if not self._directory.agrees_place(talk.conversation_id, frame.seq, digest):
            yield self._finding(
                Fault.CONFLICT, position, position, peer=frame.sender, detail=str(frame.seq)
            )

    def _agree_number(self, position: int, frame: Delivery, author: Author) -> Iterator[Finding]:
        """Compare the message with what other mailboxes have under its number."""
        if not self._directory.agrees_number(author.device_id, frame.n, self._digest(frame)):
            yield self._finding(
                Fault.DOUBLED, position, position, peer=frame.sender, detail=str(frame.n)
            )

    def _digest(self, frame: Delivery) -> bytes:
        """Name a message; one for a device alone is in no other mailbox."""
        mailbox = self._mailbox
        return digest_of(frame, () if frame.seq else (mailbox.account, mailbox.device))

    def _finding(
        self, fault: Fault, first: int = 0, last: int = 0, *, peer: str = "", detail: str = ""
    ) -> Finding:
        return Finding(
            fault=fault,
            account=self._mailbox.account,
            device=self._mailbox.device,
            peer=peer,
            first=first,
            last=last,
            detail=detail,
        )


def digest_of(frame: Delivery, holder: tuple[str, ...] = ()) -> bytes:
    """Name a message by everything but its position, and by who holds it where that matters.

    Every device has another ciphertext of it: what they have in common is that it is sealed.
    """
    text = None if frame.message is UNSET else frame.message
    parts = (frame.seq, frame.sender, frame.device, frame.n, frame.to, frame.time, text, *holder)
    return hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=DIGEST_BYTES).digest()


def check_answers(
    account: str, device: str, last_n: int, answers: Sequence[Stored]
) -> Iterator[Finding]:
    """Check that the answers of a device can belong to its last number."""
    kept = sum(answer.count for answer in answers)
    too_many = kept > last_n
    none_left = last_n > 0 and not answers
    if last_n < 0 or too_many or none_left or any(a.seq < 0 or a.count < 1 for a in answers):
        yield Finding(
            fault=Fault.ANSWERS,
            account=account,
            device=device,
            last=last_n,
            detail=str(kept),
        )


class Membership(Struct, frozen=True, kw_only=True):
    """One side of a conversation as stored: has it written, and up to where it was delivered."""

    account_id: int
    name: str
    wrote: int
    delivered_seq: int


def check_conversation(
    sides: tuple[int, int], last_seq: int, members: Iterable[Membership]
) -> Iterator[Finding]:
    """Check that a conversation has exactly its two sides (one, of somebody with themself)."""
    rows = list(members)
    names = [row.name for row in rows]
    account, peer = (names or [""])[0], (names or [""])[-1]
    for row in rows:
        if row.wrote not in {0, 1} or not 0 <= row.delivered_seq <= last_seq:
            yield Finding(
                fault=Fault.MEMBER,
                account=row.name,
                peer=peer if row.name == account else account,
                first=row.delivered_seq,
                last=last_seq,
            )
    whole = {row.account_id for row in rows} == set(sides)
    if not whole or last_seq < 0 or (last_seq > 0) != any(row.wrote for row in rows):
        yield Finding(fault=Fault.MEMBER, account=account, peer=peer, last=last_seq)


def check_totals(sent: int, alone: int, stored: int) -> Iterator[Finding]:
    """Compare all numbers used with all places given: every message takes one of each.

    But for those that were meant for one device alone.
    """
    if sent - alone != stored:
        yield Finding(fault=Fault.TOTAL, first=sent - alone, last=stored)
