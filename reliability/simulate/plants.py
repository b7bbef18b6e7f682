# long module: a catalogue, one entry after the other
"""Bugs for the simulated core. Most sit in the real code of `jim`, a few in the disks around it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from jim.client import sync
from jim.core import numbering
from jim.core.hub import Hub
from jim.core.model import MailboxState, Segment
from jim.protocol import messages as m
from jim.storage.memory import MemoryStore
from reliability import planner_bugs
from reliability.history import Acked, Cursor
from reliability.plants import Plant, replaced, together
from reliability.simulate.client import Client
from reliability.simulate.disks import ClientDisk, ServerDisk, finish
from reliability.simulate.server import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jim.core.counters import DeviceCounters
    from jim.core.link import Link
    from jim.core.model import Batch, Identity
    from jim.protocol.messages import Msg

_Planner = numbering._Planner  # noqa: SLF001 - a bug has to be planted where it would be


# --- disks ----------------------------------------------------------------------------------------


def _lose_server_tail(self: ServerDisk) -> None:
    self.reopen(max(0, len(self.journal) - 1))


def _lose_client_tail(self: ClientDisk) -> None:
    """Forget the last thing that was kept: the cursor and what came with it."""
    if self.queue:
        last = self.queue.pop()
        del self.messages[last.message_id]


def _commit_later(self: Node, batch: Batch) -> Callable[[], None]:
    return lambda: self.disk.journal.append((batch, self.now_ms()))


def _answer_first(self: Node, _: int) -> bool:
    """Acknowledge a batch when it is taken; its way to the disk is a step of its own."""
    batch = self.hub.take()
    if batch is None:
        return False
    committed = finish(self.disk.store.commit(batch, self.now_ms()))
    self.hub.committed(committed)
    self._writer.append(partial(_commit_later, self, batch))
    return True


def _reopen(self: ServerDisk) -> None:
    """Lose what was acknowledged but had not reached the journal yet."""
    self.reopen(len(self.journal))


def _forget_numbers(self: ServerDisk) -> None:
    self.reopen(len(self.journal))
    for identity in self.identities():
        device = self.store.device(identity.device_id)
        device.last_n = 0
        device.answers.clear()


# --- numbering ------------------------------------------------------------------------------------

_begin = _Planner._begin  # noqa: SLF001
_store = _Planner._store  # noqa: SLF001
_collect = _Planner._collect  # noqa: SLF001
_close = _Planner._close  # noqa: SLF001


def _begin_and_leak(self: Any, me: Identity, sender: DeviceCounters, *rest: Any) -> Any:
    stretch = _begin(self, me, sender, *rest)
    conversation = stretch.conversation
    third = min({1, 2, 3} - {conversation.low, conversation.high})
    stretch.boxes.append(self._opened(self._counters.account(third).devices[0]))
    return stretch


def _store_by_sender(
    self: Any, messages: Sequence[Msg], sender: DeviceCounters, stretch: Any
) -> Any:
    """Take the sender's number for the conversation's sequence."""
    stretch.conversation.last_seq = messages[0].n - 1
    stretch.stored.seq = stretch.stored.n
    return _store(self, messages, sender, stretch)


def _store_cut_short(self: Any, messages: Sequence[Msg], *rest: Any) -> Any:
    cut = [msgspec.structs.replace(each, message=str(each.message)[:-1]) for each in messages]
    return _store(self, cut, *rest)


def _collect_and_start_over(self: Any, device: DeviceCounters, position: int) -> None:
    _collect(self, device, position)
    if device.acked == device.last_position:
        device.acked = device.last_position = 0


def _close_reversed(self: Any, opened: Any) -> None:
    """Put the frames of a commit into the mailbox in the wrong order, under the right positions."""
    positions = [frame.position for frame in opened.frames]
    opened.frames.reverse()
    for frame, position in zip(opened.frames, positions, strict=True):
        frame.position = position
    _close(self, opened)


def _turn_stale_silently(self: Any, device: DeviceCounters) -> None:
    device.state = MailboxState.STALE


# --- hub ------------------------------------------------------------------------------------------


def _push_when_paused(self: Hub, link: Link, segment: Segment) -> None:
    """Take for sent what a slow reader never got."""
    link.target = max(link.target, segment.last)
    if link.paused:
        link.sent = segment.last
    elif link.live:
        self._send_rest(link, segment)


def _resume_without_waking(self: Hub, link: Link) -> None:
    link.paused = False
    link.live = link.asked


def _resync_never(self: Hub, account_id: int) -> None:
    """Do nothing about lost events."""


def _loaded_out_of_order(self: Hub, link: Link, segments: list[Segment]) -> bool:
    for segment in reversed(segments):
        if segment.last > link.sent:
            link.sent = segment.last
            link.outlet.send(segment.frames)
    link.live = not segments
    return not link.live


def _acknowledge_all(self: Hub, link: Link, position: int) -> None:
    """Take one confirmation for everything that was sent."""
    link.acked = link.sent
    self._acks[link.identity.device_id] = link.sent


# --- client ---------------------------------------------------------------------------------------

_frame = sync.Inbox.frame
_seal = sync.Outbox._seal  # noqa: SLF001
_sealed = sync.Outbox.sealed
_keep = Client._keep  # noqa: SLF001


def _keep_cursor_first(self: Client, wire: Any, kept: Sequence[Any]) -> None:
    """Move the cursor in a transaction of its own, before the messages."""
    position = kept[-1].position

    def move() -> None:
        self.disk.cursor = position
        self._record(Cursor(0, self.identity.device, position))

    self._jobs.append(move)
    _keep(self, wire, kept)


def _keep_ack_first(self: Client, wire: Any, kept: Sequence[Any]) -> None:
    """Confirm what came before it is on the disk."""
    self._put(m.Ack(position=kept[-1].position))
    _keep(self, wire, kept)


def _frame_over_gap(self: sync.Inbox, position: int) -> Any:
    """Take a frame behind a gap as if it were the next."""
    if position > self.received:
        self.received = position - 1
    return _frame(self, position)


def _gap_taken() -> Callable[[], Any]:
    """Take frames behind gaps, and let the bus lose some without saying so."""
    return together(
        replaced(sync.Inbox, frame=_frame_over_gap),
        replaced(Hub, _push=_push_over_gap),
    )


def _push_over_gap(self: Hub, link: Link, segment: Segment) -> None:
    """Push what is new, also when something before it was never sent."""
    link.target = max(link.target, segment.last)
    if link.live:
        self._send_rest(link, segment)


def _sync_from_anywhere(self: Hub, link: Link, after: int) -> int:
    """Deliver again what was confirmed."""
    link.acked = min(link.acked, after)
    return _sync(self, link, after)


_sync = Hub.sync


def _collect_nothing(self: Any, device: DeviceCounters, position: int) -> None:
    """Keep what was confirmed."""


def _keep_everything(self: ClientDisk, deliveries: Sequence[Any], position: int) -> Any:
    self.cursor = position
    return list(deliveries)


def _welcomed_from_zero(self: sync.Inbox, epoch: str, position: int, acked: int, code: str) -> Any:
    """Forget the cursor with every connection."""
    effects = _welcomed(self, epoch, position, acked, code)
    self.cursor = self.received = acked
    return [
        sync.AskFrom(acked) if isinstance(effect, sync.AskFrom) else effect for effect in effects
    ]


_welcomed = sync.Inbox.welcomed


def _seal_without_waiting(self: sync.Outbox, free: int) -> Any:
    """Transmit before the disk knows that it was transmitted."""
    effect: Any = _seal(self, free)
    self._blocked -= 1
    messages = _CLIENTS[id(self)].disk.messages
    for row in self.rows:
        if row.message_id in effect.message_ids:
            row.payload = messages[row.message_id].payload()
    return effect


def _sealed_and_gone(self: sync.Outbox, *outcome: Any) -> Any:
    self._blocked += 1
    return _sealed(self, *outcome)


def _confirm_at_once(self: sync.Outbox, row: Any, payload: Any) -> Any:
    """Show ✓ when a message is handed to the network."""
    effect = _transmit(self, row, payload)
    _CLIENTS[id(self)]._record(Acked(0, effect.payload.text))  # noqa: SLF001
    return effect


_transmit = sync.Outbox._transmit  # noqa: SLF001
_CLIENTS: Final[dict[int, Client]] = {}
_make = Client.__init__


def _make_and_remember(self: Client, *arguments: Any) -> None:
    _make(self, *arguments)
    _CLIENTS[id(self.outbox)] = self


def _refuse_without_waiting(self: sync.Outbox, flight: Any, code: str) -> Any:
    """Drop a refused message without numbering the later ones anew."""
    effects = _refuse(self, flight, code)
    self._rewinding = False
    self._blocked -= 1
    return effects


_refuse = sync.Outbox._refuse  # noqa: SLF001


def _outbox_welcomed_deaf(self: sync.Outbox, last_n: int, last_mark: str) -> Any:
    """Ignore that the server has lost what it had confirmed."""
    last_n = max(last_n, self.confirmed)
    return _outbox_welcomed(self, last_n, last_mark)


_outbox_welcomed = sync.Outbox.welcomed


def _inbox_welcomed_deaf(self: sync.Inbox, epoch: str, *rest: Any) -> Any:
    """Ignore that the server's store is another one."""
    self.epoch = epoch
    return _welcomed(self, epoch, *rest)


async def _load_next_only(
    self: MemoryStore, device_id: int, position: int, limit_bytes: int
) -> list[Segment]:
    """Miss a segment that straddles the position."""
    found = await _load_after(self, device_id, position, limit_bytes)
    return [segment for segment in found if segment.first > position]


_load_after = MemoryStore.load_after


PLANTS: Final = (
    Plant(
        "lying_fsync",
        "the server's disk loses the last commit in a crash",
        replaced(ServerDisk, crash=_lose_server_tail),
    ),
    Plant(
        "lying_fsync_of_client",
        "a client's disk loses the last queued message in a crash",
        replaced(ClientDisk, crash=_lose_client_tail),
    ),
    Plant(
        "ack_before_commit",
        "the server answers when it takes a batch, not when it is durable",
        together(replaced(Node, commit=_answer_first), replaced(ServerDisk, crash=_reopen)),
    ),
    Plant(
        "no_dedupe",
        "a repeated number is stored again",
        replaced(_Planner, _take=planner_bugs.take_again),
    ),
    Plant(
        "numbers_forgotten",
        "after a restart the server does not know which numbers it has stored",
        replaced(ServerDisk, crash=_forget_numbers),
    ),
    Plant(
        "number_gap_accepted",
        "a number behind a gap is stored",
        replaced(_Planner, _take=planner_bugs.take_behind_gap),
    ),
    Plant(
        "leak",
        "a third person gets the message too",
        replaced(_Planner, _begin=_begin_and_leak),
    ),
    Plant(
        "sequence_of_sender",
        "each sender counts the conversation's sequence alone",
        replaced(_Planner, _store=_store_by_sender),
    ),
    Plant("text_cut", "the last letter is lost", replaced(_Planner, _store=_store_cut_short)),
    Plant(
        "position_reused",
        "positions begin again when a mailbox was collected",
        replaced(_Planner, _collect=_collect_and_start_over),
    ),
    Plant(
        "commit_reordered",
        "what one commit brings is delivered in reverse",
        replaced(_Planner, _close=_close_reversed),
    ),
    Plant(
        "silent_tombstone",
        "a full mailbox drops messages and does not say so",
        replaced(_Planner, _turn_stale=_turn_stale_silently),
    ),
    Plant(
        "another_answer",
        "a repetition is told the place of another message",
        replaced(_Planner, _answer_again=planner_bugs.answer_with_latest),
    ),
    Plant(
        "dropped_on_slow_reader",
        "what came while a client read slowly counts as sent",
        replaced(Hub, _push=_push_when_paused),
    ),
    Plant(
        "lost_wake_up",
        "a client that reads again is not brought up to date",
        replaced(Hub, resume=_resume_without_waking),
    ),
    Plant(
        "loss_unheard",
        "what the bus has lost is never looked for",
        replaced(Hub, _resync=_resync_never),
    ),
    Plant(
        "page_out_of_order",
        "a page of the mailbox is sent last segment first, and the rest is taken for sent",
        replaced(Hub, loaded=_loaded_out_of_order),
    ),
    Plant(
        "straddling_segment_missed",
        "a segment that begins before the cursor is left out",
        replaced(MemoryStore, load_after=_load_next_only),
    ),
    Plant(
        "everything_confirmed",
        "one confirmation counts for all that was sent",
        replaced(Hub, acknowledge=_acknowledge_all),
    ),
    Plant(
        "cursor_before_messages",
        "a client moves its cursor before it has what lies before it",
        replaced(Client, _keep=_keep_cursor_first),
    ),
    Plant(
        "client_acks_before_commit",
        "a client confirms what is not on its disk yet",
        replaced(Client, _keep=_keep_ack_first),
    ),
    Plant("gap_taken", "a frame behind a gap is taken", _gap_taken()),
    Plant(
        "doubled_on_reconnect",
        "a client forgets with the connection what it has",
        together(
            replaced(sync.Inbox, welcomed=_welcomed_from_zero),
            replaced(Hub, sync=_sync_from_anywhere),
            replaced(_Planner, _collect=_collect_nothing),
            replaced(ClientDisk, keep=_keep_everything),
        ),
    ),
    Plant(
        "transmitted_before_release",
        "a message goes out before the disk knows that it may have",
        together(
            replaced(Client, __init__=_make_and_remember),
            replaced(sync.Outbox, _seal=_seal_without_waiting, sealed=_sealed_and_gone),
        ),
    ),
    Plant(
        "tick_at_once",
        "✓ is shown when a message is handed to the network",
        together(
            replaced(Client, __init__=_make_and_remember),
            replaced(sync.Outbox, _transmit=_confirm_at_once),
        ),
    ),
    Plant(
        "refusal_without_renumbering",
        "what follows a refused message goes out before it has its new number on disk",
        replaced(sync.Outbox, _refuse=_refuse_without_waiting),
    ),
    Plant(
        "loss_of_server_ignored",
        "a client does not send again what a restored server has lost",
        replaced(sync.Outbox, welcomed=_outbox_welcomed_deaf),
    ),
    Plant(
        "epoch_ignored",
        "a client keeps its cursor in the mailbox of another lineage",
        replaced(sync.Inbox, welcomed=_inbox_welcomed_deaf),
    ),
)
