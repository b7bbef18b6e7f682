"""The messages of one account that come in: from the mailbox to the listeners, then confirmed.

It carries out what `sync.Inbox` decides. Listeners hear of nothing that is not durable, and the
server is told of nothing that they have not heard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jim.client import sync
from jim.client.events import BEHIND, HistoryMoved, MissingNotice, OwnChanged, Received
from jim.client.intake import Intake
from jim.client.mailbox import FromDevice
from jim.client.sending import give_up
from jim.errors import JimError
from jim.protocol import messages as m

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from jim.client.accounts import Account
    from jim.client.errands import Errands
    from jim.client.feed import Feed
    from jim.client.jobs import Jobs
    from jim.client.link import Link
    from jim.client.mailbox import Frame, Kept, News
    from jim.client.store import Standing


class Receiving:
    """The mailbox of one account, as far as it is on this device."""

    def __init__(
        self,
        account: Account,
        errands: Errands,
        feed: Feed,
        jobs: Jobs,
        fail: Callable[[Exception], None],
        handlers: Mapping[str, Callable[[FromDevice], None]],
        kept: Callable[[], object],
        wanted: Callable[[], object],
    ) -> None:
        """Take an open account, who asks for chains, and whom to tell.

        Args:
            account: whose mailbox it is.
            errands: asks for device chains.
            feed: where news for the user go.
            jobs: changes the store.
            fail: called when the store fails.
            handlers: of contents from device to device, by their kind.
            kept: called when something has been kept: something may have been queued with it.
            wanted: called when another device wants our history.
        """
        self._feed, self._jobs = feed, jobs
        self._handlers, self._on_kept, self._on_wanted = handlers, kept, wanted
        self._inbox = sync.Inbox("", 0)
        self._intake = Intake(account, errands, self._kept, fail)
        self._link: Link | None = None

    def load(self, standing: Standing) -> None:
        """Take up the durable state."""
        self._inbox = sync.Inbox(standing.epoch, standing.position)

    # --- the link -------------------------------------------------------------------------------

    def welcomed(self, link: Link, welcome: m.Welcome) -> None:
        """Go on with a new connection."""
        self._link = link
        effects = self._inbox.welcomed(welcome.epoch, welcome.position, welcome.acked, BEHIND)
        for effect in effects:
            self._apply(effect, welcome.time)

    def is_behind(self, welcome: m.Welcome) -> bool:
        """Tell whether another life of this store has confirmed more than this one has."""
        return self._inbox.cursor < welcome.acked

    async def settled(self) -> None:
        """Wait until nothing is on its way to the store."""
        await self._intake.settled()

    def lost(self) -> None:
        """Forget the connection, and what was not kept: it comes again with the next one."""
        self._link = None
        self._intake.lose()

    def cancel(self) -> None:
        """Stop asking for chains; what is on its way to the disk gets there."""
        self._intake.cancel()

    # --- what comes -----------------------------------------------------------------------------

    def consider(self, message: Frame, kept: list[Frame]) -> None:
        """Put a frame among those to be kept, unless it is here already."""
        decision, effects = self._inbox.frame(message.position)
        if decision is sync.Decision.KEEP:
            kept.append(message)
        for effect in effects:
            self._apply(effect, message.time)

    async def keep(self, frames: Iterable[Frame]) -> None:
        """Keep frames of one read, which share a transaction."""
        await self._intake.add(frames)

    def _kept(self, kept: Kept) -> None:
        """Tell what has become durable, and confirm it."""
        self.publish(kept.news)
        for effect in self._inbox.stored(kept.position):
            self._apply(effect, 0)
        self._on_kept()

    def publish(self, news: Iterable[News]) -> None:
        """Tell what is new, each to whom it concerns."""
        for new in news:
            if isinstance(new, (MissingNotice, HistoryMoved)):
                self._feed.publish(new)
            elif isinstance(new, FromDevice):
                if (handler := self._handlers.get(new.kind)) is not None:
                    handler(new)
            else:
                self._feed.publish(OwnChanged(new) if new.outgoing else Received(new))
            if isinstance(new, HistoryMoved) and not new.incoming:
                self._on_wanted()

    def note(self, code: str, time_ms: int) -> None:
        """Keep that something is missing, and tell it."""
        self._jobs.write(lambda store: store.note(code, time_ms), self._feed.publish)

    # --- effects --------------------------------------------------------------------------------

    def _apply(self, effect: sync.InboxEffect, time_ms: int) -> None:
        if isinstance(effect, sync.Missing):
            self.note(effect.code, time_ms)
        elif isinstance(effect, sync.MoveCursor):
            moved = effect
            self._jobs.write(lambda s: s.move_cursor(moved.epoch, moved.position), lambda _: None)
        elif isinstance(effect, sync.Disconnect):
            give_up(self._link, effect)
        elif self._link is None:
            return
        elif isinstance(effect, sync.Acknowledge):
            self._link.send(m.Ack(position=effect.position))
        else:
            request = self._link.request(m.Sync(id="", after=effect.after))
            request.add_done_callback(self._synced)

    def _synced(self, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled():
            return
        if (error := answer.exception()) is None:
            self._inbox.answered()
        elif self._link is not None and isinstance(error, JimError):
            self._link.give_up(error)
