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

from collections.abc import KeysView
from typing import TYPE_CHECKING

from msgspec import UNSET, Struct

from jim.core import sealing
from jim.core.counters import (
    AccountView,
    ConversationCounters,
    Counters,
    DeviceCounters,
    PlannedSegment,
)
from jim.core.mailboxes import Mailboxes, Open
from jim.core.model import Answers, Batch, Identity, MailboxState, Run, Stored
from jim.core.names import lookup_key
from jim.errors import MailboxFull, NameInvalid, NumberGap, RecipientUnknown, Revoked, WireError
from jim.protocol.codec import encode_all
from jim.protocol.messages import Delivery, ErrorReply, Msg
from jim.protocol.messages import Stored as StoredReply
from jim.protocol.replies import error_reply

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jim.core.limits import Limits

_STORED = 202
"""The course's "accepted": stored, and waiting for the addressee's device."""


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


class _Stretch(Struct):
    """What consecutive messages of one device to one addressee have in common."""

    me: Identity
    to: str
    """The addressee as the sender spells it."""
    name: str
    """Its name."""
    conversation: ConversationCounters
    sealed_for: KeysView[str] | None
    """For these devices, in ciphertexts; None where the messages are plain."""
    boxes: list[Open]
    """The mailboxes that get a copy: the addressee's first, then the sender's other devices'."""
    marked: int
    """How many of the boxes belong to somebody else than the sender."""
    left: int
    """So many more messages fit into every box."""
    stored: Stored
    """What the sender's device will be told again; grows with every message."""

    def goes_on_with(self, message: Msg) -> bool:
        """Tell whether another message has everything in common with these."""
        if not self.left or message.to != self.to:
            return False
        ciphertexts, devices = message.ciphertexts, self.sealed_for
        if ciphertexts is UNSET or devices is None:
            return ciphertexts is UNSET and devices is None
        return ciphertexts.keys() == devices


class _Planner(Mailboxes):
    """The state of one `plan` call."""

    def __init__(
        self, counters: Counters, limits: Limits, now_ms: int, steady_ms: int | None
    ) -> None:
        super().__init__(limits, now_ms, steady_ms)
        self._counters = counters
        self._conversations: dict[int, ConversationCounters] = {}

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

    # --- messages ---------------------------------------------------------------------------------

    def _take(self, run: Run) -> Answers:
        """Number the messages of a run."""
        sender = self._counters.device(run.sender.device_id)
        messages = run.messages
        if sender.state is MailboxState.REVOKED:
            refused = [self._refuse(message, Revoked()) for message in messages]
            return Answers(encode_all(refused), revoked=True)
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
            try:
                if message.only:
                    stretch = None
                    answers.append(self._store_alone(run.sender, sender, message))
                    place += 1
                    continue
                if stretch is None or not stretch.goes_on_with(message):
                    stretch = self._begin(run.sender, sender, message, introduced)
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
        conversation, now_ms = stretch.conversation, self._now_ms
        last_n, last_seq = sender.last_n, conversation.last_seq
        count = len(messages)
        deliver = _deliver_plain if stretch.sealed_for is None else _deliver_sealed
        for index, box in enumerate(stretch.boxes):
            begin = len(box.frames)
            deliver(messages, box, stretch, (last_n, last_seq, now_ms))
            box.device.last_position += count
            if index < stretch.marked:
                box.foreign.append((begin, begin + count, conversation.conversation_id))
        sender.last_n += count
        sender.last_mark = messages[-1].mark or ""
        conversation.last_seq += count
        stretch.stored.count += count
        stretch.left -= count
        return _answers(messages, last_n, last_seq + 1, now_ms, stretch.stored.skipped)

    def _begin(
        self, me: Identity, sender: DeviceCounters, first: Msg, introduced: list[int]
    ) -> _Stretch:
        """Find out where messages like the first one go; it will follow at least.

        Raises:
            RecipientUnknown: there is no such account.
            DevicesChanged: it is not sealed for the devices that there are.
            MailboxFull: none of its devices takes anything for now.
        """
        addressee = self._find(first.to)
        own = self._counters.account(me.account_id)
        mine, theirs = me.account_id, addressee.account_id
        sealed_for = sealing.check_devices(first, addressee, own, sender)
        receiving, skipped = self._receiving(addressee, sender, sealed=sealed_for is not None)
        if not receiving and theirs != mine:
            raise MailboxFull
        marked = 0
        if theirs != mine:
            marked = len(receiving)
            receiving += self._receiving(own, sender, sealed=sealed_for is not None)[0]
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
            to=first.to,
            name=addressee.name,
            conversation=conversation,
            sealed_for=sealed_for,
            boxes=[self._opened(device) for device in receiving],
            marked=marked,
            # An empty mailbox takes one message whatever the limit is.
            left=max(1, min(room, default=self._limits.window)),
            stored=stored,
        )

    def _receiving(
        self, account: AccountView, sender: DeviceCounters, *, sealed: bool
    ) -> tuple[list[DeviceCounters], int]:
        """Give the devices of an account that get a message, and how many it is kept from."""
        meant = [each for each in account.devices if each.has_keys or not sealed]
        receiving = [device for device in meant if self._takes(device, sender)]
        return receiving, sum(each is not sender for each in meant) - len(receiving)

    def _store_alone(self, me: Identity, sender: DeviceCounters, message: Msg) -> StoredReply:
        """Give a message to one device: with a number, but without a place in a conversation.

        Raises:
            RecipientUnknown: there is no such account.
            DevicesChanged: the device is none of the addressee's or the sender's that have keys.
            MailboxFull: it takes nothing for now.
        """
        addressee = self._find(message.to)
        own = self._counters.account(me.account_id)
        device, ciphertext = sealing.only_device(message, addressee, own, sender)
        if not self._takes(device, sender):
            raise MailboxFull
        box, n = self._opened(device), sender.last_n + 1
        device.last_position += 1
        box.frames.append(
            Delivery(
                position=device.last_position,
                seq=0,
                sender=me.name,
                device=me.device,
                n=n,
                to=addressee.name,
                time=self._now_ms,
                ciphertext=ciphertext,
            )
        )
        sender.answers.append(Stored(n, 0, self._now_ms))
        sender.last_n, sender.last_mark = n, message.mark or ""
        sender.alone += 1
        self._devices[sender.device_id] = sender
        [answer] = _answers([message], n - 1, 0, self._now_ms, 0)
        return answer

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
                    place, time_ms = stored.place(n), stored.time_ms
                    [again] = _answers([message], n - 1, place, time_ms, stored.skipped)
                    return again
        return self._refuse(message, NumberGap(n=n, expected=sender.last_n + 1))

    def _refuse(self, message: Msg, error: WireError) -> ErrorReply:
        error.fields.setdefault("n", message.n)
        return error_reply(error, self._now_ms, message.id)

    def _forget_old_answers(self, sender: DeviceCounters) -> None:
        answers, oldest_n = sender.answers, sender.last_n - self._limits.window + 1
        while answers and answers[0].last_n < oldest_n:
            answers.popleft()


def _deliver_plain(
    messages: Sequence[Msg], box: Open, stretch: _Stretch, last: tuple[int, int, int]
) -> None:
    """Put texts into a mailbox, behind the last number and place; the time comes with those."""
    n, seq, now_ms = last
    me, to, position, frames = stretch.me, stretch.name, box.device.last_position, box.frames
    for message in messages:
        n, seq, position = n + 1, seq + 1, position + 1
        frames.append(
            Delivery(
                position=position,
                seq=seq,
                sender=me.name,
                device=me.device,
                n=n,
                to=to,
                time=now_ms,
                message=message.message,
            )
        )


def _deliver_sealed(
    messages: Sequence[Msg], box: Open, stretch: _Stretch, last: tuple[int, int, int]
) -> None:
    """Put into a mailbox what is sealed for its device; else like `_deliver_plain`."""
    n, seq, now_ms = last
    me, to, position, device = stretch.me, stretch.name, box.device.last_position, box.device.device
    for message in messages:
        n, seq, position = n + 1, seq + 1, position + 1
        box.frames.append(
            Delivery(
                position=position,
                seq=seq,
                sender=me.name,
                device=me.device,
                n=n,
                to=to,
                time=now_ms,
                ciphertext=message.ciphertexts[device],  # type: ignore[index] # it has some
            )
        )


def _answers(
    messages: Iterable[Msg], n: int, seq: int, time_ms: int, skipped: int
) -> list[StoredReply]:
    """Answer consecutive messages: the first comes behind the number, and has the place."""
    answers = []
    for message in messages:
        n += 1
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
        seq += 1
    return answers


def _end_of_sequence(messages: Sequence[Msg], begin: int, limit: int) -> int:
    """Give where messages end that follow `begin` with the next number and all else alike."""
    first = messages[begin]
    n, to, ciphertexts = first.n, first.to, first.ciphertexts
    devices = None if ciphertexts is UNSET else ciphertexts.keys()
    end = begin + 1
    for message in messages[end:limit]:
        n += 1
        if message.n != n or message.to != to:
            break
        sealed = message.ciphertexts
        if sealed is UNSET:
            if devices is not None:
                break
        elif message.only or sealed.keys() != devices:
            break
        end += 1
    return end
