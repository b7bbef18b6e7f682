"""Fuzz the client's decisions: `Outbox` and `Inbox` against a server that answers anything.

Only what `jim.client.link` lets through reaches them: integers from 0 to 2^53-1. The store is a
list that does what the effects say, in order, and late. Checked after every step: numbers without a
gap, nothing transmitted before it is durably released, never more in flight than the window, a
cursor that moves forward by one except into another lineage, nothing confirmed that is not durable.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from jim.client import sync
from jim.errors import WIRE_ERRORS, DevicesChanged, NumberGap, WireError
from jim.protocol.messages import MAX_INTEGER
from reliability.hostile.fuzz.choices import Choices, hold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WINDOWS: Final = (1, 2, 5, 64)
MAX_ROWS: Final = 200
"""Messages in one run: beyond it a step that writes does nothing."""

ERRORS: Final[tuple[type[WireError], ...]] = (WireError, *WIRE_ERRORS.values())
EPOCHS: Final = ("", "a", "b")
NOTHING_SENT: Final = sync.Transmit(0, 0, "", sync.Payload(None))


def payload_of(message_id: int, seal: int) -> sync.Payload:
    """Make what goes out for a message; how often something was sealed tells it from others."""
    return sync.Payload({"device": str(seal)}, str(message_id))


def _seal_of(sent: sync.Transmit) -> tuple[str, str]:
    assert sent.payload.ciphertexts is not None
    return sent.payload.text, sent.payload.ciphertexts["device"]


class Store:
    """The durable side: rows as `jim.client.store` keeps them, numbered by their order."""

    def __init__(self) -> None:
        self.confirmed = 0
        self.queued: list[sync.Row] = []
        self.stored: list[tuple[int, sync.Row]] = []
        self.released: set[int] = set()
        self.cursor = 0
        self.epoch = ""

    def apply(self, effect: Any) -> list[sync.Row]:
        """Carry out an effect of the outbox; gives what `Requeue` has queued again."""
        if isinstance(effect, sync.Seal):
            self.released |= set(effect.message_ids)
        elif isinstance(effect, sync.Confirm):
            self._confirm(effect)
        elif isinstance(effect, sync.Refuse):
            self._drop({effect.message_id})
        elif isinstance(effect, sync.Restart):
            self._drop(set(effect.unknown))
            self.confirmed = effect.last_n
        elif isinstance(effect, sync.Requeue):
            return self._requeue(effect.after_n)
        return []

    def _confirm(self, effect: sync.Confirm) -> None:
        hold(self.queued, "confirmed a message that is not queued")
        row = self.queued.pop(0)
        hold(row.message_id == effect.message_id, "confirmed out of order")
        hold(effect.n == self.confirmed + 1, f"confirmed {effect.n} after {self.confirmed}")
        self.confirmed = effect.n
        self.stored.append((effect.n, row))

    def _drop(self, message_ids: set[int]) -> None:
        known = {row.message_id for row in self.queued}
        hold(message_ids <= known, "dropped a message that is not queued")
        self.queued = [row for row in self.queued if row.message_id not in message_ids]

    def _requeue(self, after_n: int) -> list[sync.Row]:
        hold(after_n < self.confirmed, "queued again what was never confirmed")
        again = [
            sync.Row(row.message_id, row.to, released=True, mark=row.mark)
            for n, row in self.stored
            if n > after_n
        ]
        self.stored = [(n, row) for n, row in self.stored if n <= after_n]
        self.queued[:0] = again
        self.confirmed = after_n
        return again


class World:
    """Both machines, their store, and what is on its way between them."""

    def __init__(
        self,
        choices: Choices,
        outbox: type[sync.Outbox] = sync.Outbox,
        inbox: type[sync.Inbox] = sync.Inbox,
    ) -> None:
        self.choices = choices
        self.store = Store()
        self.window = choices.pick(WINDOWS)
        self.outbox = outbox(0, [], self.window)
        self.inbox = inbox("", 0)
        self.jobs: deque[Any] = deque()
        self.sent: list[sync.Transmit] = []
        self.kept: list[int] = []
        self.rows = 0
        self.seals = 0
        self.stale: set[tuple[str, str]] = set()
        """What the server has refused on this connection as sealed for other devices."""
        self.is_online = False
        self.steps: Sequence[Callable[[], None]] = (
            self.write,
            self.work,
            self.answer,
            self.work_all,
            self.deliver,
            self.lie,
            self.refuse,
            self.welcome,
            self.misdeliver,
            self.lose,
            self.cancel,
            self.answered,
            self.keep,
        )

    # --- the front end and the store --------------------------------------------------------------

    def write(self) -> None:
        """Let the user write a few messages."""
        count = 1 + self.choices.byte() % 4
        if self.rows + count > MAX_ROWS:
            return
        is_released = self.outbox.sends_at_once
        rows: list[sync.Row] = []
        for _ in range(count):
            self.rows += 1
            released = is_released and not rows
            payload = payload_of(self.rows, 0) if released else None
            mark = str(self.rows)
            row = sync.Row(self.rows, "bob", payload, released=released, fresh=True, mark=mark)
            rows.append(row)
            if released:
                self.store.released.add(row.message_id)
        self.store.queued += rows
        self.out(self.outbox.queued(rows))

    def cancel(self) -> None:
        """Let the user take something back."""
        self.out(self.outbox.cancel(1 + self.choices.byte(), "cancelled"))

    def work(self) -> None:
        """Let the store do its next job."""
        if not self.jobs:
            return
        effect = self.jobs.popleft()
        if isinstance(effect, int):
            self._stored_frame(effect)
            return
        if isinstance(effect, sync.Seal):
            self._seal(effect)
            return
        again = self.store.apply(effect)
        if isinstance(effect, sync.Requeue):
            self.out(self.outbox.requeued(again))
        elif isinstance(effect, sync.BLOCKING):
            self.out(self.outbox.done())

    def _seal(self, effect: sync.Seal) -> None:
        """Seal everything, or only the first ones if the server gives no more keys, or fail one."""
        kind = self.choices.byte()
        ids = effect.message_ids if kind < 128 else effect.message_ids[: kind % WINDOWS[-1]]
        failed = {ids[-1]: "no_keys"} if ids and kind % 16 == 1 else {}
        sealed = [message_id for message_id in ids if message_id not in failed]
        self.seals += 1
        self.store.apply(sync.Seal(sealed))
        hold(set(ids) <= {row.message_id for row in self.store.queued}, "sealed what is gone")
        payloads = {each: payload_of(each, self.seals) for each in sealed}
        self.out(self.outbox.sealed(payloads, failed))

    def _stored_frame(self, position: int) -> None:
        hold(position == self.store.cursor + 1, f"stored {position} after {self.store.cursor}")
        self.store.cursor = position
        self.into(self.inbox.stored(position))

    def work_all(self) -> None:
        """Let the store do everything that it has."""
        while self.jobs:
            self.work()

    # --- the server -------------------------------------------------------------------------------

    def number(self, *likely: int) -> int:
        """Choose a number: a likely one, one beside it, a small one, or one of the largest."""
        kind = self.choices.byte()
        base = likely[kind % len(likely)] if likely else 0
        if kind < 128:
            return base
        if kind < 192:
            return max(0, min(MAX_INTEGER, base + kind - 160))
        return (0, 1, 2**31, 2**32, 2**53 - 2, MAX_INTEGER)[kind % 6]

    def welcome(self) -> None:
        """Connect and be told some standing."""
        self.lose()
        self.work_all()
        self.is_online = True
        acked = self.number(self.store.cursor)
        position = self.number(acked, self.store.cursor, self.store.cursor + 2)
        epoch = self.choices.pick(EPOCHS)
        before = self.inbox.cursor
        effects = self.inbox.welcomed(epoch, position, acked, "behind")
        moved = [effect for effect in effects if isinstance(effect, sync.MoveCursor)]
        hold(moved or self.inbox.cursor == before, "the cursor moved without a word")
        self.into(effects)
        last_n = self.number(self.store.confirmed, self.outbox.highest)
        # The row of that number, none at all, or another message's: as every server may say.
        mark = self.choices.pick((str(last_n), "", "1"))
        self.out(self.outbox.welcomed(last_n, mark))

    def lose(self) -> None:
        """Lose the connection; what it has brought is still stored."""
        self.is_online = False
        self.keep()
        self.sent.clear()
        self.stale.clear()
        self.outbox.disconnected()

    def answer(self) -> None:
        """Confirm the oldest transmission, as an honest server does."""
        if self.sent:
            first = self.sent.pop(0)
            self.out(self.outbox.stored(first.request_id, first.n, first.n, 1))

    def _any_request(self) -> tuple[int, int]:
        known = self.choices.pick(self.sent) if self.sent else NOTHING_SENT
        request_id, n = self.number(known.request_id), self.number(known.n)
        self.sent = [each for each in self.sent if each.request_id != request_id]
        return request_id, n

    def lie(self) -> None:
        """Confirm anything."""
        request_id, n = self._any_request()
        self.out(self.outbox.stored(request_id, n, self.number(n), self.number()))

    def refuse(self) -> None:
        """Refuse anything, for any reason."""
        known = list(self.sent)
        request_id, n = self._any_request()
        kind = self.choices.pick(ERRORS)
        if kind is DevicesChanged:
            self.stale |= {_seal_of(each) for each in known if each.request_id == request_id}
        error = kind()
        if kind is NumberGap and self.choices.byte() % 4:
            error = kind(n=n, expected=self.number(n, self.outbox.confirmed + 1))
        self.out(self.outbox.refused(request_id, error))

    def deliver(self) -> None:
        """Push the next frame of the mailbox."""
        self._frame(self.inbox.received + 1)

    def misdeliver(self) -> None:
        """Push a frame of some position."""
        self._frame(self.number(self.inbox.received, self.inbox.cursor))

    def answered(self) -> None:
        """Answer a `sync`, asked or not."""
        self.inbox.answered()

    def _frame(self, position: int) -> None:
        if not self.is_online:
            return
        before = self.inbox.received
        decision, effects = self.inbox.frame(position)
        if decision is sync.Decision.KEEP:
            hold(position == before + 1, f"kept {position} after {before}")
            self.kept.append(position)
        hold(self.inbox.received >= before, "what was received went back")
        self.into(effects)

    def keep(self) -> None:
        """Hand what was kept to the store."""
        self.jobs += self.kept
        self.kept.clear()

    # --- effects ----------------------------------------------------------------------------------

    def out(self, effects: list[sync.OutboxEffect]) -> None:
        """Carry out what the outbox wants."""
        for effect in effects:
            if isinstance(effect, sync.Transmit):
                self._transmit(effect)
            elif isinstance(effect, sync.Disconnect):
                self.lose()
            else:
                self.jobs.append(effect)

    def _transmit(self, effect: sync.Transmit) -> None:
        hold(self.is_online, "transmitted without a connection")
        blocked = any(isinstance(job, sync.BLOCKING) for job in self.jobs)
        hold(not blocked, "transmitted before it was durable")
        message_id = int(effect.payload.text)
        hold(message_id in self.store.released, "transmitted before it was released")
        hold(_seal_of(effect) not in self.stale, "transmitted again what is for other devices")
        place = effect.n - self.outbox.confirmed - 1
        hold(0 <= place < len(self.outbox.rows), f"transmitted the number {effect.n}")
        row = self.outbox.rows[place]
        hold(row.message_id == message_id, f"{effect.n} is the number of another message")
        self.sent.append(effect)

    def into(self, effects: list[sync.InboxEffect]) -> None:
        """Carry out what the inbox wants."""
        for effect in effects:
            if isinstance(effect, sync.MoveCursor):
                self.store.cursor, self.store.epoch = effect.position, effect.epoch
            elif isinstance(effect, sync.Acknowledge):
                hold(effect.position <= self.store.cursor, "confirmed before it was durable")
            elif isinstance(effect, sync.AskFrom):
                hold(effect.after == self.store.cursor, f"asked from {effect.after}")
            elif isinstance(effect, sync.Disconnect):
                self.lose()

    # --- always -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Hold the state against what must never be otherwise."""
        outbox, inbox = self.outbox, self.inbox
        hold(len(self.sent) <= self.window, "more in flight than the window")
        hold(outbox.highest == outbox.confirmed + len(outbox.rows), "the numbers have a gap")
        hold(inbox.cursor == self.store.cursor, "the cursor is not the durable one")
        hold(inbox.cursor <= inbox.received, "the cursor is ahead of what was received")
        if not self.jobs:
            rows = [row.message_id for row in outbox.rows]
            kept = [row.message_id for row in self.store.queued]
            hold(rows == kept, f"the outbox has {rows}, the store {kept}")
            hold(outbox.confirmed == self.store.confirmed, "another number is confirmed")


def run(
    content: bytes,
    outbox: type[sync.Outbox] = sync.Outbox,
    inbox: type[sync.Inbox] = sync.Inbox,
) -> None:
    """Check one input.

    Raises:
        Broken: a property does not hold.
    """
    world = World(Choices(content), outbox, inbox)
    while world.choices.left:
        world.choices.pick(world.steps)()
        world.check()
    world.keep()
    world.work_all()
    world.check()
