"""Numbers, sequences and positions of one batch: the heart of exactly-once, shared by every store.

A store calls `plan` inside its transaction with a view of its counters. The plan assigns, for each
message in order of arrival: the sender's number (a repetition gets the first answer, a gap is
refused), the conversation's next sequence, and one position in the mailbox of every receiving
device; and it builds the frames, of deliveries and of answers. The store then writes what was
touched and commits. Nothing here does I/O.

This is the hottest code of the server. What consecutive messages of one device to one addressee
have in common is worked out once, as a `_Stretch`; each message is then touched once.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from jim.core.model import (
    Answers,
    Batch,
    DeliveredUpTo,
    Identity,
    MailboxState,
    Run,
    Segment,
    Stored,
)
from jim.core.names import lookup_key
from jim.errors import MailboxFull, NameInvalid, NumberGap, RecipientUnknown, WireError
from jim.protocol.codec import delivery_template, encode, encode_value, stored_template
from jim.protocol.messages import Msg, Notice
from jim.protocol.replies import error_reply

if TYPE_CHECKING:
    from jim.core.limits import Limits

_STORED = 202
"""The course's "accepted": stored, and waiting for the addressee's device."""

_MS_PER_DAY = 86_400_000


class DeviceCounters(Struct):
    """What a store keeps per device; `plan` changes it in place."""

    device_id: int
    account_id: int
    device: str
    last_n: int = 0
    last_mark: str = ""
    """The mark of the message with the number `last_n`; empty if it had none."""
    answers: deque[Stored] = field(default_factory=deque)
    """The answers of the last window at least, oldest first, the last one up to `last_n`."""
    last_position: int = 0
    acked: int = 0
    state: MailboxState = MailboxState.LIVE
    waiting_since_ms: int = 0
    """When the mailbox last went from empty to waiting, or was last collected from; 0 if empty."""


class ConversationCounters(Struct):
    """What a store keeps per conversation of two (or of one with themself); changed in place."""

    conversation_id: int
    low: int
    high: int
    last_seq: int = 0
    low_wrote: bool = False
    high_wrote: bool = False

    def mark_wrote(self, account_id: int) -> bool:
        """Note that the account wrote here; give whether it was the first time."""
        if account_id == self.low and not self.low_wrote:
            self.low_wrote = True
            return True
        if account_id == self.high and not self.high_wrote:
            self.high_wrote = True
            return True
        return False


class AccountView(Struct):
    """An account with its devices that are not revoked."""

    account_id: int
    name: str
    devices: list[DeviceCounters]


class Counters(Protocol):
    """A store's view of its counters inside the running transaction."""

    def device(self, device_id: int) -> DeviceCounters:
        """Give the counters of a device that exists."""

    def account(self, account_id: int) -> AccountView:
        """Give an account that exists."""

    def find(self, name_key: str) -> AccountView | None:
        """Give the account of that normalised name, None if there is none."""

    def conversation(self, low: int, high: int) -> ConversationCounters:
        """Give the conversation of two accounts (low ≤ high), creating it where it is missing."""


class PlannedSegment(Struct):
    """A segment with the marks that tell, once it is collected, what was delivered."""

    segment: Segment
    marks: dict[int, int]
    """conversation_id to the highest sequence that somebody else wrote."""


class Plan(Struct):
    """What the store has to write before it commits."""

    answers: list[Answers]
    segments: list[PlannedSegment]
    devices: dict[int, DeviceCounters]
    """Touched: number, answers, positions or state changed."""
    conversations: dict[int, ConversationCounters]
    """Touched: sequence or who wrote changed."""
    collected: dict[int, int]
    """device_id to the position up to which its segments can be deleted."""


def plan(batch: Batch, counters: Counters, limits: Limits, now_ms: int) -> Plan:
    """Number a batch. Acks count first, so that they make room before messages are added."""
    return _Planner(counters, limits, now_ms, batch.steady_ms).run(batch)


class _Open(Struct):
    """The frames that this batch adds to one mailbox, still growing."""

    device: DeviceCounters
    first: int
    frames: list[bytes]
    marks: dict[int, int]
    size_bytes: int = 0


class _Stretch(Struct):
    """What consecutive messages of one device to one addressee have in common."""

    to: str
    """The addressee as the sender spells it."""
    conversation: ConversationCounters
    boxes: list[_Open]
    """The mailboxes that get a copy: the addressee's first, then the sender's other devices'."""
    marked: int
    """How many of the boxes belong to somebody else than the sender."""
    left: int
    """So many more messages fit into every box."""
    delivery: bytes
    answer: bytes
    """Templates (`jim.protocol.codec`)."""
    stored: Stored
    """What the sender's device will be told again; grows with every message."""


class _Planner:
    """The state of one `plan` call."""

    def __init__(
        self, counters: Counters, limits: Limits, now_ms: int, steady_ms: int | None
    ) -> None:
        self._counters = counters
        self._limits = limits
        self._now_ms = now_ms
        # Of two clocks that disagree one was set. Waiting begins by the later and is judged by the
        # earlier one, so that neither a jump nor its correction makes a mailbox look abandoned.
        clocks = (now_ms, now_ms if steady_ms is None else steady_ms)
        self._begins_ms, self._judged_ms = max(clocks), min(clocks)
        self._open: dict[int, _Open] = {}
        self._closed: list[PlannedSegment] = []
        self._devices: dict[int, DeviceCounters] = {}
        self._conversations: dict[int, ConversationCounters] = {}
        self._collected: dict[int, int] = {}

    def run(self, batch: Batch) -> Plan:
        for device_id, position in batch.acks.items():
            self._collect(self._counters.device(device_id), position)
        answers = [self._take(run) for run in batch.runs]
        for opened in self._open.values():
            self._close(opened)
        return Plan(
            answers=answers,
            segments=self._closed,
            devices=self._devices,
            conversations=self._conversations,
            collected=self._collected,
        )

    def _collect(self, device: DeviceCounters, position: int) -> None:
        position = min(position, device.last_position)
        if position <= device.acked:
            return
        device.acked = position
        emptied = position == device.last_position
        device.waiting_since_ms = 0 if emptied else self._begins_ms
        if emptied and device.state is MailboxState.STALE:
            device.state = MailboxState.LIVE
        self._devices[device.device_id] = device
        self._collected[device.device_id] = position

    # --- messages ---------------------------------------------------------------------------------

    def _take(self, run: Run) -> Answers:
        """Number the messages of a run."""
        sender = self._counters.device(run.sender.device_id)
        frames: list[bytes] = []
        introduced: list[int] = []
        stretch: _Stretch | None = None
        for message in run.messages:
            if message.n != sender.last_n + 1:
                frames.append(self._answer_again(sender, message))
                continue
            if stretch is None or not stretch.left or message.to != stretch.to:
                try:
                    stretch = self._begin(run.sender, sender, message.to, introduced)
                except WireError as error:
                    stretch = None
                    frames.append(self._refuse(message, error))
                    continue
            frames.append(self._store(message, sender, stretch))
        self._forget_old_answers(sender)
        return Answers(b"".join(frames), tuple(introduced))

    def _store(self, message: Msg, sender: DeviceCounters, stretch: _Stretch) -> bytes:
        """Give a message its place and its positions; gives the answer."""
        conversation = stretch.conversation
        n = sender.last_n = message.n
        seq = conversation.last_seq = conversation.last_seq + 1
        sender.last_mark = message.mark or ""
        stretch.stored.count += 1
        stretch.left -= 1
        text = encode_value(message.message)
        for index, box in enumerate(stretch.boxes):
            position = box.device.last_position = box.device.last_position + 1
            frame = stretch.delivery % (position, seq, n, text)
            box.frames.append(frame)
            box.size_bytes += len(frame)
            if index < stretch.marked:
                box.marks[conversation.conversation_id] = seq
            if box.size_bytes >= self._limits.page_bytes:
                # A segment is sent whole: a larger one might never fit into an outgoing buffer.
                self._close(box)
        return stretch.answer % (encode_value(message.id), n, seq)

    def _begin(
        self, me: Identity, sender: DeviceCounters, to: str, introduced: list[int]
    ) -> _Stretch:
        """Find out where messages to this addressee go; at least one will follow.

        Raises:
            RecipientUnknown: there is no such account.
            MailboxFull: none of its devices takes anything for now.
        """
        addressee = self._find(to)
        mine, theirs = me.account_id, addressee.account_id
        receiving = [device for device in addressee.devices if self._takes(device, sender)]
        if not receiving and theirs != mine:
            raise MailboxFull
        skipped = sum(each is not sender for each in addressee.devices) - len(receiving)
        marked = 0
        if theirs != mine:
            marked = len(receiving)
            own = self._counters.account(mine).devices
            receiving += [device for device in own if self._takes(device, sender)]
        low, high = (mine, theirs) if mine <= theirs else (theirs, mine)
        conversation = self._counters.conversation(low, high)
        if conversation.mark_wrote(mine) and mine != theirs:
            introduced.append(theirs)
        stored = Stored(sender.last_n + 1, conversation.last_seq + 1, self._now_ms, skipped, 0)
        sender.answers.append(stored)
        self._devices[sender.device_id] = sender
        self._conversations[conversation.conversation_id] = conversation
        room = [self._limits.waiting_messages - d.last_position + d.acked for d in receiving]
        return _Stretch(
            to=to,
            conversation=conversation,
            boxes=[self._opened(device) for device in receiving],
            marked=marked,
            # An empty mailbox takes one message whatever the limit is.
            left=max(1, min(room, default=self._limits.window)),
            delivery=delivery_template(me.name, me.device, addressee.name, self._now_ms),
            answer=stored_template(_STORED, self._now_ms, skipped),
            stored=stored,
        )

    def _find(self, to: str) -> AccountView:
        try:
            account = self._counters.find(lookup_key(to))
        except NameInvalid:
            account = None
        if account is None:
            raise RecipientUnknown
        return account

    def _answer_again(self, sender: DeviceCounters, message: Msg) -> bytes:
        """Repeat the first answer; one older than the window was confirmed long ago."""
        n = message.n
        if sender.last_n - self._limits.window < n <= sender.last_n:
            for stored in reversed(sender.answers):
                if stored.n <= n <= stored.last_n:
                    template = stored_template(_STORED, stored.time_ms, stored.skipped)
                    return template % (encode_value(message.id), n, stored.seq + n - stored.n)
        return self._refuse(message, NumberGap(n=n, expected=sender.last_n + 1))

    def _refuse(self, message: Msg, error: WireError) -> bytes:
        error.fields.setdefault("n", message.n)
        return encode(error_reply(error, self._now_ms, message.id))

    def _forget_old_answers(self, sender: DeviceCounters) -> None:
        answers, oldest_n = sender.answers, sender.last_n - self._limits.window + 1
        while answers and answers[0].last_n < oldest_n:
            answers.popleft()

    # --- mailboxes --------------------------------------------------------------------------------

    def _takes(self, device: DeviceCounters, sender: DeviceCounters) -> bool:
        """Tell whether the device gets the message; a mailbox that is full by now turns stale."""
        if device is sender or device.state is not MailboxState.LIVE:
            return False
        waiting = device.last_position - device.acked
        if not waiting:
            return True
        abandoned_ms = self._limits.waiting_days * _MS_PER_DAY
        if (
            waiting < self._limits.waiting_messages
            and self._judged_ms - device.waiting_since_ms < abandoned_ms
        ):
            return True
        self._turn_stale(device)
        return False

    def _turn_stale(self, device: DeviceCounters) -> None:
        """Close a mailbox with a tombstone, so that the device sees that something is missing."""
        device.state = MailboxState.STALE
        opened = self._opened(device)
        device.last_position += 1
        notice = Notice(position=device.last_position, code=MailboxFull.code, time=self._now_ms)
        frame = encode(notice)
        opened.frames.append(frame)
        opened.size_bytes += len(frame)

    def _opened(self, device: DeviceCounters) -> _Open:
        """Give what a mailbox gets in this batch; at least one frame will follow."""
        if device.last_position == device.acked:
            device.waiting_since_ms = self._begins_ms
        opened = self._open.get(device.device_id)
        if opened is None:
            opened = _Open(device, device.last_position + 1, [], {})
            self._open[device.device_id] = opened
            self._devices[device.device_id] = device
        return opened

    def _close(self, opened: _Open) -> None:
        """Make a segment of what a mailbox has got so far."""
        if not opened.frames:
            return
        device = opened.device
        segment = Segment(
            account_id=device.account_id,
            device_id=device.device_id,
            first=opened.first,
            last=opened.first + len(opened.frames) - 1,
            frames=b"".join(opened.frames),
        )
        self._closed.append(PlannedSegment(segment, opened.marks))
        opened.first, opened.frames, opened.marks, opened.size_bytes = segment.last + 1, [], {}, 0


def delivered_up_to(conversation: ConversationCounters, by: AccountView, seq: int) -> DeliveredUpTo:
    """Word the news for the other side that `by` holds the conversation up to `seq`."""
    other = conversation.high if by.account_id == conversation.low else conversation.low
    return DeliveredUpTo(account_id=other, by_name=by.name, seq=seq)
