"""Numbers, sequences and positions of one batch: the heart of exactly-once, shared by every store.

A store calls `plan` inside its transaction with a view of its counters. The plan assigns, for each
message in order of arrival: the sender's number (a repetition gets the first answer, a gap is
refused), the conversation's next sequence, and one position in the mailbox of every receiving
device; and it builds the frames. The store then writes what was touched and commits. Nothing here
does I/O.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from jim.core.model import (
    Append,
    Batch,
    DeliveredUpTo,
    MailboxState,
    Outcome,
    Refused,
    Segment,
    Stored,
)
from jim.errors import MailboxFull, NumberGap, RecipientUnknown
from jim.protocol.codec import encode, encode_delivery, encode_delivery_tail
from jim.protocol.messages import Notice

if TYPE_CHECKING:
    from jim.core.limits import Limits

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
    """The answers of the last window, oldest first, the last one for `last_n`."""
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

    outcomes: list[Outcome]
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

    counters: DeviceCounters
    first: int
    frames: list[bytes]
    marks: dict[int, int]
    size_bytes: int = 0

    def add(self, frame: bytes) -> None:
        """Append a frame."""
        self.frames.append(frame)
        self.size_bytes += len(frame)


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
        outcomes = [self._append(message) for message in batch.appends]
        return Plan(
            outcomes=outcomes,
            segments=self._closed + [self._close(mailbox) for mailbox in self._open.values()],
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

    def _append(self, message: Append) -> Outcome:
        sender = self._counters.device(message.sender.device_id)
        if message.n <= sender.last_n:
            return self._repeat(sender, message.n)
        if message.n != sender.last_n + 1:
            return Refused(message.n, NumberGap(n=message.n, expected=sender.last_n + 1))
        addressee = self._counters.find(message.to_key)
        if addressee is None:
            return Refused(message.n, RecipientUnknown())
        receiving = []
        skipped = 0
        for device in addressee.devices:
            if self._takes(device, sender):
                receiving.append(device)
            elif device is not sender:
                skipped += 1
        if not receiving and addressee.account_id != message.sender.account_id:
            return Refused(message.n, MailboxFull())
        return self._store(message, sender, addressee, receiving, skipped)

    def _repeat(self, sender: DeviceCounters, n: int) -> Outcome:
        """Give the first answer again; one older than the window was confirmed long ago."""
        index = len(sender.answers) - 1 - (sender.last_n - n)
        if index < 0:
            return Refused(n, NumberGap(n=n, expected=sender.last_n + 1))
        return sender.answers[index]

    def _store(
        self,
        message: Append,
        sender: DeviceCounters,
        addressee: AccountView,
        receiving: list[DeviceCounters],
        skipped: int,
    ) -> Stored:
        me = message.sender
        mine, theirs = me.account_id, addressee.account_id
        low, high = (mine, theirs) if mine <= theirs else (theirs, mine)
        conversation = self._counters.conversation(low, high)
        conversation.last_seq += 1
        first_time = conversation.mark_wrote(mine)
        self._conversations[conversation.conversation_id] = conversation
        seq = conversation.last_seq
        tail = encode_delivery_tail(
            seq, me.name, me.device, message.n, addressee.name, self._now_ms, message.text
        )
        for device in receiving:
            opened = self._push(device, tail)
            if mine != theirs:
                opened.marks[conversation.conversation_id] = seq
        if mine != theirs:
            for device in self._counters.account(mine).devices:
                if self._takes(device, sender):
                    self._push(device, tail)
        introduced = theirs if first_time and mine != theirs else 0
        answer = Stored(message.n, seq, self._now_ms, skipped)
        self._count(sender, message, answer)
        if introduced:
            # Once only: a repetition introduces nobody again.
            return Stored(message.n, seq, self._now_ms, skipped, introduced)
        return answer

    def _count(self, sender: DeviceCounters, message: Append, answer: Stored) -> None:
        sender.last_n = message.n
        sender.last_mark = message.mark
        sender.answers.append(answer)
        while len(sender.answers) > self._limits.window:
            sender.answers.popleft()
        self._devices[sender.device_id] = sender

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
        opened = self._grow(device)
        notice = Notice(position=device.last_position, code=MailboxFull.code, time=self._now_ms)
        opened.add(encode(notice))

    def _push(self, device: DeviceCounters, tail: bytes) -> _Open:
        opened = self._grow(device)
        opened.add(encode_delivery(device.last_position, tail))
        return opened

    def _grow(self, device: DeviceCounters) -> _Open:
        if device.last_position == device.acked:
            device.waiting_since_ms = self._begins_ms
        device.last_position += 1
        opened = self._open.get(device.device_id)
        if opened is not None and opened.size_bytes >= self._limits.page_bytes:
            # A segment is sent whole: a larger one might never fit into a client's outgoing buffer.
            self._closed.append(self._close(opened))
            opened = None
        if opened is None:
            opened = _Open(device, device.last_position, [], {})
            self._open[device.device_id] = opened
            self._devices[device.device_id] = device
        return opened

    @staticmethod
    def _close(opened: _Open) -> PlannedSegment:
        device = opened.counters
        segment = Segment(
            account_id=device.account_id,
            device_id=device.device_id,
            first=opened.first,
            last=opened.first + len(opened.frames) - 1,
            frames=b"".join(opened.frames),
        )
        return PlannedSegment(segment, opened.marks)


def delivered_up_to(conversation: ConversationCounters, by: AccountView, seq: int) -> DeliveredUpTo:
    """Word the news for the other side that `by` holds the conversation up to `seq`."""
    other = conversation.high if by.account_id == conversation.low else conversation.low
    return DeliveredUpTo(account_id=other, by_name=by.name, seq=seq)
