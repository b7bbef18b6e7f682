"""The volatile part of a server: the real hub, and around it what the event loop does, in steps."""

from __future__ import annotations

import itertools
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, cast

from msgspec import UNSET

from jim.bus.local import LocalBus
from jim.core.hub import Hub
from jim.errors import WireError
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.protocol.replies import error_reply
from reliability.simulate.disks import START_MS, finish
from reliability.simulate.wire import MOST_WORK, Overrun

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.link import Link
    from jim.core.model import Batch, Committed, Identity, Segment, Standing
    from jim.core.ports import Event
    from jim.protocol.messages import ClientMessage
    from reliability.simulate.disks import ServerDisk
    from reliability.simulate.wire import Wire

HEAD = bytes(32)
"""Stands for the head of the device chain, which nobody looks at here."""


class LossyBus(LocalBus):
    """Drops the next event when it is told to, and says so later, as the port allows."""

    def __init__(self, on_loss: Callable[[], None]) -> None:
        """Lose nothing yet; `on_loss` is called with each event that is lost."""
        super().__init__()
        self._on_loss = on_loss
        self.losing = 0
        self.lost: list[int] = []
        self._alarms: dict[int, Callable[[], None]] = {}

    def subscribe(
        self, account_id: int, receive: Callable[[Event], None], lost: Callable[[], None]
    ) -> Callable[[], None]:
        """Remember whom to tell of a loss: there is one subscriber per account."""
        self._alarms[account_id] = lost
        return super().subscribe(account_id, receive, lost)

    def publish(self, account_id: int, event: Event) -> None:
        """Hand the event on, or lose it."""
        if self.losing:
            self.losing -= 1
            self.lost.append(account_id)
            self._on_loss()
        else:
            super().publish(account_id, event)

    def report(self) -> bool:
        """Tell one account's subscriber that something was lost; False if nothing was."""
        if not self.lost:
            return False
        account_id = self.lost.pop()
        if account_id in self._subscriptions:
            self._alarms[account_id]()
        return True


class Node:
    """A server process. Its disk is not a part of it and outlives it."""

    def __init__(
        self, disk: ServerDisk, identities: dict[int, Identity], on_loss: Callable[[], None]
    ) -> None:
        """Start on what is durable; `on_loss` is told of each event that the bus loses."""
        self.disk = disk
        self.bus = LossyBus(on_loss)
        self.hub = Hub(self.bus, disk.limits, self.now_ms)
        self.written: set[Wire] = set()
        self._identities = identities
        self._writer: deque[Callable[[], Callable[[], None]]] = deque()
        """Calls into the writing thread, done in their order; each gives what the loop hears."""
        self._answers: deque[Callable[[], None]] = deque()
        self._soon: list[Callable[[], None]] = []
        """What comes in any order: pages of the reading thread, tasks that go on."""
        self._logging_in: dict[int, list[Wire]] = {}
        """Devices in a login, with the connections whose login has to wait for it."""
        self._committing = False
        self._now_ms = START_MS

    def now_ms(self) -> int:
        """Give another time with every call."""
        self._now_ms += 1
        return self._now_ms

    # --- what may happen next ---------------------------------------------------------------------

    def flush(self) -> None:
        """End a turn of the loop."""
        if self.written:
            # In the order of the devices: a set has none, and runs have to repeat exactly.
            for wire in sorted(self.written, key=lambda wire: wire.device_id):
                wire.flush()
            self.written.clear()

    def write(self, _: int) -> bool:
        """Let the writing thread do its next call."""
        if not self._writer:
            return False
        self._answers.append(self._writer.popleft()())
        return True

    def answer(self, _: int) -> bool:
        """Let the loop hear of a call."""
        if not self._answers:
            return False
        self._answers.popleft()()
        return True

    def go_on(self, number: int) -> bool:
        """Let a reading or a task get further."""
        if not self._soon:
            return False
        self._soon.pop(number % len(self._soon))()
        return True

    def commit(self, _: int) -> bool:
        """Take the next batch, if no commit is in flight."""
        if self._committing:
            return False
        batch = self.hub.take()
        if batch is None:
            return False
        self._committing = True
        self._writer.append(partial(self._write_batch, batch))
        return True

    def rest(self, number: int) -> bool:
        """Go on until nothing is left to do; tell whether there was something.

        Raises:
            Overrun: something is left for ever.
        """
        moved = False
        for _ in range(MOST_WORK):
            if self._answers:
                self._answers.popleft()()
            elif self._writer:
                self.write(number)
            elif self._soon:
                self.go_on(number)
            elif not self.commit(number) and not self.report(number):
                self.flush()
                return moved
            moved = True
        raise Overrun("the server never rests")

    def report(self, _: int) -> bool:
        """Let the bus tell of a loss."""
        return self.bus.report()

    def _write_batch(self, batch: Batch) -> Callable[[], None]:
        return partial(self._committed, self.disk.commit(batch, self.now_ms()))

    def _committed(self, committed: Committed) -> None:
        self._committing = False
        self.hub.committed(committed)

    # --- sessions ---------------------------------------------------------------------------------

    def log_in(self, wire: Wire) -> None:
        """Go the way of a login; two of one device come one after the other."""
        if wire.closing:
            return
        me = self._identities[wire.device_id]
        if me.device_id in self._logging_in:
            self._logging_in[me.device_id].append(wire)
            return
        self._logging_in[me.device_id] = []
        self.hub.evict(me.account_id, me.device_id)
        self._writer.append(partial(self._stand, wire))

    def _stand(self, wire: Wire) -> Callable[[], None]:
        standing = finish(self.disk.store.standing(wire.device_id))
        # The task that waits for it may go on later than the next answers.
        return lambda: self._soon.append(partial(self._attach, wire, standing))

    def _attach(self, wire: Wire, standing: Standing) -> None:
        me = self._identities[wire.device_id]
        for waiting in self._logging_in.pop(me.device_id):
            self._soon.append(partial(self.log_in, waiting))
        if wire.closing:
            return
        contacts = finish(self.disk.store.visible_to(me.account_id))
        wire.link = self.hub.attach(wire, me, standing, [each.account_id for each in contacts])
        wire.logged_in()
        wire.send(encode(self._welcome(me, standing)))

    def _welcome(self, me: Identity, standing: Standing) -> m.Welcome:
        return m.Welcome(
            id=0,
            response=200,
            time=self.now_ms(),
            name=me.name,
            device=me.device,
            last_n=standing.last_n,
            position=standing.position,
            acked=standing.acked,
            epoch=self.disk.store.epoch,
            chain_seq=1,
            chain_head=HEAD,
            last_mark=standing.last_mark or UNSET,
        )

    def gone(self, wire: Wire) -> None:
        """Note that a connection is over."""
        wire.closing = True
        if wire.link is not None:
            self.hub.detach(wire.link)

    def receive(self, wire: Wire, messages: list[ClientMessage]) -> None:
        """Handle what one read brought, as the handlers of the server do."""
        link = wire.link
        for kind, group in itertools.groupby(messages, type):
            run = list(group)
            if kind is m.Msg and link is not None and not wire.closing:
                self._submit(wire, link, cast("list[m.Msg]", run))
                continue
            for message in run:
                if wire.closing or link is None:
                    return
                try:
                    self._handle(wire, link, message)
                except WireError as error:
                    self._refuse(wire, message, error)

    def _submit(self, wire: Wire, link: Link, run: list[m.Msg]) -> None:
        try:
            refused = self.hub.submit(link, run)
        except WireError as error:
            refused = [(run[0], error)]
        for message, reason in refused:
            self._refuse(wire, message, reason)

    def _refuse(self, wire: Wire, message: ClientMessage, error: WireError) -> None:
        request_id = getattr(message, "id", None)
        wire.send(encode(error_reply(error, self.now_ms(), request_id)))
        if error.fatal:
            wire.close(error)

    def _handle(self, wire: Wire, link: Link, message: ClientMessage) -> None:
        if isinstance(message, m.Ack):
            self.hub.acknowledge(link, message.position)
        elif isinstance(message, m.Sync):
            position = self.hub.sync(link, message.after)
            wire.send(
                encode(m.Ok(id=message.id, response=200, time=self.now_ms(), position=position))
            )

    def press(self, wire: Wire, *, paused: bool) -> bool:
        """Let a client read slowly, or again as it should; tells whether that is news."""
        if wire.link is None or wire.closing or wire.paused == paused:
            return False
        wire.paused = paused
        if paused:
            self.hub.pause(wire.link)
            return True
        if wire.parked is not None:
            self._soon.append(wire.parked)
            wire.parked = None
        self.hub.resume(wire.link)
        return True

    # --- catching up ------------------------------------------------------------------------------

    def read_page(self, wire: Wire) -> None:
        """Read in one step, hand over in another, as the task of a session does."""
        link = wire.link
        if link is not None:
            self._soon.append(partial(self._read, wire, link, link.sent, link.target))

    def _read(self, wire: Wire, link: Link, sent: int, target: int) -> None:
        load = self.disk.store.load_after(wire.device_id, sent, self.disk.limits.page_bytes)
        self._soon.append(partial(self._loaded, wire, link, sent, target, finish(load)))

    def _loaded(
        self, wire: Wire, link: Link, sent: int, target: int, segments: list[Segment]
    ) -> None:
        if wire.closing:
            wire.catching_up = False
            return
        if wire.paused:
            wire.parked = partial(self._loaded, wire, link, sent, target, segments)
            return
        overtaken = link.sent != sent or (not segments and link.target != target)
        if overtaken or self.hub.loaded(link, segments):
            self.read_page(wire)
        else:
            wire.catching_up = False
