"""A client's process: the real `Outbox` and `Inbox`, and the courier's work around them, in steps.

The store's thread does one job after the other; that a job is durable, and that the loop hears of
it, are two steps. As in the product, nothing more is read from the link while received messages are
on their way to the disk, and a new link waits until every earlier job has been heard of.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from jim.client import sync
from jim.client.events import BEHIND, CANCELLED
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.protocol.replies import raised
from reliability.history import Acked, Again, Cursor, Displayed, Failed, Told, Written
from reliability.simulate.wire import MOST_WORK, Overrun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from jim.core.model import Identity
    from jim.protocol.messages import ServerMessage
    from reliability.history import Event
    from reliability.simulate.disks import ClientDisk
    from reliability.simulate.disks import Kept as Own
    from reliability.simulate.wire import Wire

WINDOW: Final = 4
"""Messages outstanding: small, so that a short schedule fills and outlives it."""

Kept = m.Delivery | m.Notice
"""What has a position in the mailbox."""


class Client:
    """One process of one device, from its start to its crash."""

    def __init__(
        self, identity: Identity, disk: ClientDisk, record: Callable[[Event], None]
    ) -> None:
        """Take up what is on the disk."""
        self.identity = identity
        self.disk = disk
        self.wire: Wire | None = None
        self._record = record
        rows = disk.queued_after(0)
        self._noticed = len(disk.messages)  # ids count from 1
        self.outbox = sync.Outbox(disk.confirmed, rows, WINDOW)
        self.inbox = sync.Inbox(disk.epoch, disk.cursor)
        self._jobs: deque[Callable[[], Callable[[], None] | None]] = deque()
        """For the store's thread; each gives what the loop hears once it is durable."""
        self._heard: deque[Callable[[], None]] = deque()
        self._waiting = False
        """Nothing is read from the link until the disk has done something."""
        self._online = False
        self._met = False
        """The server has said where this device stands, so the outbox is that of no other life."""
        self._asked = 0

    # --- what may happen next ---------------------------------------------------------------------

    def work(self, _: int) -> bool:
        """Let the store's thread do its next job."""
        if not self._jobs:
            return False
        news = self._jobs.popleft()()
        if news is not None:
            self._heard.append(news)
        return True

    def hear(self, _: int) -> bool:
        """Let the loop hear of what has become durable."""
        if not self._heard:
            return False
        self._heard.popleft()()
        return True

    def send(self, number: int) -> bool:
        """Let something arrive at the server."""
        wire = self.wire
        if wire is None or not wire.up or wire.link is None or wire.closing:
            return False
        wire.node.receive(wire, wire.arrived_at_server(number))
        return True

    def read(self, number: int) -> bool:
        """Let something arrive at the client."""
        wire = self.wire
        if wire is None or not wire.down or self._waiting:
            return False
        messages = wire.arrived_at_client(number)
        if messages is None:
            self.lose()
        else:
            self._receive(wire, messages)
        return True

    def rest(self, number: int) -> bool:
        """Go on until nothing is left to do; tell whether there was something.

        Raises:
            Overrun: something is left for ever.
        """
        moved = False
        for _ in range(MOST_WORK):
            if self._heard:
                self._heard.popleft()()
            elif self._jobs:
                self.work(number)
            elif not self.send(number) and not self.read(number):
                return moved
            moved = True
        raise Overrun(f"{self.identity.device} never rests")

    def finish_jobs(self) -> None:
        """Let the disk do what it was told, and the loop hear of it; nothing arrives meanwhile.

        Raises:
            Overrun: there is always more.
        """
        for _ in range(MOST_WORK):
            if not (self.work(0) or self.hear(0)):
                return
        raise Overrun(f"the jobs of {self.identity.device} never end")

    # --- the front end ----------------------------------------------------------------------------

    def write(self, to: str, text: str) -> None:
        """Queue a message, and look for it at once."""
        released = self.outbox.sends_at_once
        self._jobs.append(lambda: self.queue(to, text, released=released))
        self.notice()

    def queue(self, to: str, text: str, *, released: bool) -> None:
        """Make a message durable; before that it was never written."""
        me = self.identity
        self._record(Written(0, text, me.name, me.device, to))
        self.disk.enqueue(to, text, released=released)

    def notice(self) -> None:
        """Look for what is new in the outbox, whoever has put it there."""
        self._jobs.append(self._look)

    def _look(self) -> Callable[[], None]:
        return partial(self._take_up, self.disk.queued_after(self._noticed))

    def _take_up(self, rows: list[sync.Row]) -> None:
        news = [row for row in rows if row.message_id > self._noticed]
        if news:
            self._noticed = news[-1].message_id
            for row in news:
                row.fresh = True
            self._carry_out(self.outbox.queued(news))

    def cancel(self, number: int) -> None:
        """Take a message back: any, but before the first welcome only one of this process.

        Nobody knows before whether an older one was sent by a later life of a restored disk (the
        known limit of docs/adr/0006).
        """
        rows = [row for row in self.outbox.rows if row.fresh or self._met]
        if rows:
            row = rows[number % len(rows)]
            self._carry_out(self.outbox.cancel(row.message_id, CANCELLED))

    # --- the link ---------------------------------------------------------------------------------

    def connect(self, wire: Wire) -> None:
        """Begin to log in on a new connection."""
        self.wire = wire
        wire.node.log_in(wire)

    def lose(self) -> None:
        """Forget the connection."""
        self.wire = None
        self._online = self._waiting = False
        self.outbox.disconnected()

    def _receive(self, wire: Wire, messages: Iterable[ServerMessage]) -> None:
        """Deal with what came with one read, as link and courier do."""
        kept: list[Kept] = []
        answered = False
        for message in messages:
            if self.wire is not wire:
                return
            if isinstance(message, (m.Delivery, m.Notice)):
                self._consider(message, kept)
            elif isinstance(message, (m.Stored, m.ErrorReply)):
                self._decided(message)
            elif isinstance(message, m.Welcome):
                # What comes behind it in the same read is presence and receipts only.
                self._jobs.append(partial(partial, self._welcomed, wire, message))
            answered |= isinstance(message, m.Ok) and message.id == f"r{self._asked}"
            self._waiting |= bool(kept) or isinstance(message, m.Welcome)
        if answered:
            self.inbox.answered()
        if kept:
            self._keep(wire, kept)

    def _consider(self, message: Kept, kept: list[Kept]) -> None:
        decision, effects = self.inbox.frame(message.position)
        if decision is sync.Decision.KEEP:
            kept.append(message)
        self._carry_out(effects)

    def _decided(self, message: m.Stored | m.ErrorReply) -> None:
        if isinstance(message, m.Stored):
            self._stored(message)
        elif isinstance(message.id, int):
            self._carry_out(self.outbox.refused(message.id, raised(message)))

    def _stored(self, message: m.Stored) -> None:
        assert isinstance(message.id, int)
        skipped = message.skipped if isinstance(message.skipped, int) else 0
        effects = self.outbox.stored(message.id, message.n, message.seq, message.time)
        self._carry_out(effects, skipped)

    def _welcomed(self, wire: Wire, welcome: m.Welcome) -> None:
        if self.wire is not wire:
            return
        self._waiting, self._online, self._met = False, True, True
        effects = self.inbox.welcomed(welcome.epoch, welcome.position, welcome.acked, BEHIND)
        self._carry_out(effects)
        self._carry_out(self.outbox.welcomed(welcome.last_n, welcome.last_mark or ""))

    def _keep(self, wire: Wire, kept: Sequence[Kept]) -> None:
        deliveries = [each for each in kept if isinstance(each, m.Delivery)]
        position = kept[-1].position

        def store() -> Callable[[], None]:
            fresh = self.disk.keep(deliveries, position)
            for each in kept:
                if isinstance(each, m.Notice):
                    self._record(Told(0, self.identity.device, each.code, each.position))
                elif each in fresh:
                    self._display(each)
                else:
                    self._record(Again(0, self.identity.device, str(each.message), each.position))
            self._record(Cursor(0, self.identity.device, position))
            return durable

        def durable() -> None:
            if self.wire is wire:
                self._waiting = False
            self._carry_out(self.inbox.stored(position))

        self._jobs.append(store)

    def _display(self, each: m.Delivery) -> None:
        """Record what the store shows from now on."""
        me = self.identity
        text = str(each.message)
        shown = Displayed(0, me.name, me.device, text, each.sender, each.seq, each.position)
        self._record(shown)

    # --- effects ----------------------------------------------------------------------------------

    def _carry_out(
        self, effects: Iterable[sync.OutboxEffect | sync.InboxEffect], skipped: int = 0
    ) -> None:
        for effect in effects:
            if isinstance(effect, sync.Transmit):
                self._put(_msg(effect))
            elif isinstance(effect, sync.AskFrom):
                self._asked += 1
                self._put(m.Sync(id=f"r{self._asked}", after=effect.after))
            elif isinstance(effect, sync.Acknowledge):
                self._put(m.Ack(position=effect.position))
            elif isinstance(effect, sync.Disconnect):
                self._give_up()
            elif isinstance(effect, sync.Missing):
                self._record(Told(0, self.identity.device, effect.code))
            else:
                self._jobs.append(partial(self._persist, effect, skipped))

    def _put(self, message: m.Msg | m.Sync | m.Ack) -> None:
        if self.wire is not None and self._online:
            self.wire.up.append(encode(message))

    def _give_up(self) -> None:
        if self.wire is not None:
            self.wire.node.gone(self.wire)
            self.lose()

    def _persist(
        self, effect: sync.OutboxEffect | sync.MoveCursor, skipped: int
    ) -> Callable[[], None] | None:
        changed = self.disk.apply(effect)
        for kept in changed:
            self._tell(kept, effect, skipped)
        if isinstance(effect, sync.Seal):
            payloads = {kept.message_id: kept.payload() for kept in changed}
            return lambda: self._carry_out(self.outbox.sealed(payloads))
        if isinstance(effect, sync.Requeue):
            rows = [kept.row() for kept in changed]
            return lambda: self._carry_out(self.outbox.requeued(rows))
        if isinstance(effect, sync.BLOCKING):
            return lambda: self._carry_out(self.outbox.done())
        return None

    def _tell(self, kept: Own, effect: object, skipped: int) -> None:
        """Record what the user sees of a message of theirs."""
        if isinstance(effect, sync.Confirm):
            self._record(Acked(0, kept.text, effect.seq, effect.n, skipped))
        elif kept.state != "queued":
            self._record(Failed(0, kept.text, kept.state))


def _msg(effect: sync.Transmit) -> m.Msg:
    return m.Msg(
        id=effect.request_id,
        n=effect.n,
        to=effect.to,
        message=effect.payload.text,
        mark=effect.mark,
    )
