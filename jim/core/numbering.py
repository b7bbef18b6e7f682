"""Numbers, sequences and positions of one batch: the heart of exactly-once, shared by every store.

A store calls `plan` inside its transaction with a view of its counters. The plan assigns, for each
message in order of arrival: the sender's number (a repetition gets the first answer, a gap is
refused), the conversation's next sequence, and one position in the mailbox of every receiving
device; and it builds the frames, of deliveries and of answers. The store then writes what was
touched and commits. Nothing here does I/O.

This is the hottest code of the server. What consecutive messages of one device to one addressee
have in common is worked out once, as a `_Stretch`; each message is then made into its answer and
its deliveries, and everything for one socket or mailbox is encoded in one go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, field

from jim.core.counters import (
    AccountView,
    ConversationCounters,
    Counters,
    DeviceCounters,
    PlannedSegment,
)
from jim.core.model import (
    Answers,
    Batch,
    Identity,
    MailboxState,
    Run,
    Segment,
    Stored,
)
from jim.core.names import lookup_key
from jim.errors import MailboxFull, NameInvalid, NumberGap, RecipientUnknown, WireError
from jim.protocol.codec import encode_all
from jim.protocol.messages import Delivery, ErrorReply, Msg, Notice
from jim.protocol.messages import Stored as StoredReply
from jim.protocol.replies import error_reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.core.limits import Limits

_STORED = 202
"""The course's "accepted": stored, and waiting for the addressee's device."""

_MS_PER_DAY = 86_400_000


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
    """What this batch adds to one mailbox, still growing."""

    device: DeviceCounters
    first: int
    """The position of the first frame."""
    frames: list[Delivery | Notice] = field(default_factory=list)
    foreign: list[tuple[int, int, int]] = field(default_factory=list)
    """Which of them somebody else wrote: from, up to (excluded), and in which conversation."""


class _Stretch(Struct):
    """What consecutive messages of one device to one addressee have in common."""

    me: Identity
    to: str
    """The addressee as the sender spells it."""
    name: str
    """Its name."""
    conversation: ConversationCounters
    boxes: list[_Open]
    """The mailboxes that get a copy: the addressee's first, then the sender's other devices'."""
    marked: int
    """How many of the boxes belong to somebody else than the sender."""
    left: int
    """So many more messages fit into every box."""
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
        messages = run.messages
        answers: list[StoredReply | ErrorReply] = []
        introduced: list[int] = []
        stretch: _Stretch | None = None
        place = 0
        while place < len(messages):
            message = messages[place]
            if message.n != sender.last_n + 1:
                answers.append(self._answer_again(sender, message))
                place += 1
                continue
            if stretch is None or not stretch.left or message.to != stretch.to:
                try:
                    stretch = self._begin(run.sender, sender, message.to, introduced)
                except WireError as error:
                    stretch = None
                    answers.append(self._refuse(message, error))
                    place += 1
                    continue
            end = _end_of_sequence(messages, place, place + stretch.left)
            answers += self._store(messages[place:end], sender, stretch)
            place = end
        self._forget_old_answers(sender)
        return Answers(encode_all(answers), tuple(introduced))

    def _store(
        self, messages: Sequence[Msg], sender: DeviceCounters, stretch: _Stretch
    ) -> list[StoredReply]:
        """Give messages their places and their positions; gives the answers."""
        conversation, me, now_ms = stretch.conversation, stretch.me, self._now_ms
        last_n, last_seq = sender.last_n, conversation.last_seq
        count = len(messages)
        for index, box in enumerate(stretch.boxes):
            frames, begin = box.frames, len(box.frames)
            n, seq, position = last_n, last_seq, box.device.last_position
            for message in messages:
                n, seq, position = n + 1, seq + 1, position + 1
                frames.append(
                    Delivery(
                        position=position,
                        seq=seq,
                        sender=me.name,
                        device=me.device,
                        n=n,
                        to=stretch.name,
                        time=now_ms,
                        message=message.message,
                    )
                )
            box.device.last_position = position
            if index < stretch.marked:
                box.foreign.append((begin, begin + count, conversation.conversation_id))
        sender.last_n += count
        sender.last_mark = messages[-1].mark or ""
        conversation.last_seq += count
        stretch.stored.count += count
        stretch.left -= count
        return _answers(messages, last_n, last_seq, now_ms, stretch.stored.skipped)

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
            me=me,
            to=to,
            name=addressee.name,
            conversation=conversation,
            boxes=[self._opened(device) for device in receiving],
            marked=marked,
            # An empty mailbox takes one message whatever the limit is.
            left=max(1, min(room, default=self._limits.window)),
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

    def _answer_again(self, sender: DeviceCounters, message: Msg) -> StoredReply | ErrorReply:
        """Repeat the first answer; one older than the window was confirmed long ago."""
        n = message.n
        if sender.last_n - self._limits.window < n <= sender.last_n:
            for stored in reversed(sender.answers):
                if stored.n <= n <= stored.last_n:
                    before = stored.seq + n - stored.n - 1
                    [again] = _answers([message], n - 1, before, stored.time_ms, stored.skipped)
                    return again
        return self._refuse(message, NumberGap(n=n, expected=sender.last_n + 1))

    def _refuse(self, message: Msg, error: WireError) -> ErrorReply:
        error.fields.setdefault("n", message.n)
        return error_reply(error, self._now_ms, message.id)

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
        opened.frames.append(notice)

    def _opened(self, device: DeviceCounters) -> _Open:
        """Give what a mailbox gets in this batch; at least one frame will follow."""
        if device.last_position == device.acked:
            device.waiting_since_ms = self._begins_ms
        opened = self._open.get(device.device_id)
        if opened is None:
            opened = _Open(device, device.last_position + 1)
            self._open[device.device_id] = opened
            self._devices[device.device_id] = device
        return opened

    def _close(self, opened: _Open) -> None:
        """Make segments of what a mailbox has got."""
        frames = encode_all(opened.frames)
        page_bytes = self._limits.page_bytes
        if len(frames) <= page_bytes:
            self._add_segment(opened, 0, len(opened.frames), frames)
            return
        # A segment is sent whole: a larger one might never fit into an outgoing buffer.
        begin, page, size_bytes = 0, list[bytes](), 0
        lines = frames.splitlines(keepends=True)
        for end, line in enumerate(lines, 1):
            page.append(line)
            size_bytes += len(line)
            if size_bytes >= page_bytes or end == len(lines):
                self._add_segment(opened, begin, end, b"".join(page))
                begin, page, size_bytes = end, [], 0

    def _add_segment(self, opened: _Open, begin: int, end: int, frames: bytes) -> None:
        """Make a segment of the frames from `begin` on and before `end`, encoded as `frames`."""
        device = opened.device
        first, last = opened.first + begin, opened.first + end - 1
        marks: dict[int, int] = {}
        for from_, up_to, conversation_id in opened.foreign:
            latest = min(up_to, end) - 1
            if max(from_, begin) <= latest:
                marks[conversation_id] = opened.frames[latest].seq  # type: ignore[union-attr]
        segment = Segment(device.account_id, device.device_id, first, last, frames)
        self._closed.append(PlannedSegment(segment, marks))


def _answers(
    messages: Iterable[Msg], n: int, seq: int, time_ms: int, skipped: int
) -> list[StoredReply]:
    """Answer consecutive messages, of which the first comes behind the number and the place."""
    answers = []
    for message in messages:
        n, seq = n + 1, seq + 1
        answers.append(
            StoredReply(
                id=message.id,
                response=_STORED,
                time=time_ms,
                n=n,
                seq=seq,
                skipped=skipped or UNSET,
            )
        )
    return answers


def _end_of_sequence(messages: Sequence[Msg], begin: int, limit: int) -> int:
    """Give where messages end that follow `begin` with the next number and the same addressee."""
    n, to = messages[begin].n, messages[begin].to
    end = begin + 1
    for message in messages[end:limit]:
        n += 1
        if message.n != n or message.to != to:
            break
        end += 1
    return end
