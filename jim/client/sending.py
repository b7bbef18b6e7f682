"""The messages of one account that go out: from the front end to the server's decision.

It carries out what `sync.Outbox` decides: between the account's store, the link and the listeners,
who hear of nothing that is not durable.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from jim.client import sync
from jim.client.events import CANCELLED, Message, OwnChanged
from jim.client.link import protocol_error
from jim.client.pacer import Pacer
from jim.core.limits import WINDOW
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.protocol.replies import raised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jim.client.account_store import AccountStore
    from jim.client.accounts import Account
    from jim.client.errands import Errands
    from jim.client.feed import Feed
    from jim.client.jobs import Jobs
    from jim.client.link import Link
    from jim.client.store import Draft, Standing

logger = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""When to try again to seal what the server gave no keys for: half of the minute that its limit
counts by (`Limits.claims_per_minute`)."""


class Sending:
    """The outbox of one account."""

    def __init__(
        self,
        account: Account,
        errands: Errands,
        feed: Feed,
        jobs: Jobs,
        changed: Callable[[], object],
    ) -> None:
        """Take an open account, who asks for keys, and whom to tell.

        `changed` is called after every change of a message of ours.
        """
        self._account, self._errands, self._feed, self._jobs = account, errands, feed, jobs
        self._on_change = changed
        self._outbox = sync.Outbox(0, [], WINDOW)
        self._link: Link | None = None
        self._noticed = 0
        self._leads = False
        self._pacer = Pacer(asyncio.get_running_loop())
        self._sealing: asyncio.Task[None] | None = None
        self._seen = _Seen()
        self._watched: dict[int, asyncio.Event] = {}
        self.changed = asyncio.Event()
        """Set at the next change of a message of ours; take it before you look, then wait."""

    async def load(self, standing: Standing) -> None:
        """Take up the durable state; what is queued already may stem from an earlier life."""
        leads = self._account.is_owner
        found = await self._account.writer.read(lambda store: store.queued_after(0))
        # Not the last one that is queued: what the server has lost is queued again under its old
        # id, and must not be found as new once more.
        self._noticed = standing.highest_id
        self._seen = _Seen(self._noticed)
        rows = [row for row, _ in found if row.message_id <= self._noticed]
        self._outbox = sync.Outbox(standing.confirmed_n, rows, self._outbox.window)
        self._leads = leads

    @property
    def highest_n(self) -> int:
        """The highest number that a message of this device has."""
        return self._outbox.highest

    @property
    def is_idle(self) -> bool:
        """Whether there is a link, and nothing waits for it."""
        return self._leads and self._link is not None and not self._outbox.rows

    # --- the front end --------------------------------------------------------------------------

    async def send(self, draft: Draft) -> Message:
        """Queue a message; it is durable, and on its way if it can be, when this returns."""
        released = self._account.is_owner and self._outbox.sends_at_once
        queued = self._account.writer.write(lambda store: store.enqueue(draft, released=released))
        noticed = self.notice()
        await asyncio.wait([queued])
        await asyncio.wait([noticed])
        return queued.result()[0]

    def notice(self) -> asyncio.Future[list[tuple[sync.Row, Message]]]:
        """Take up what is new in the outbox, whichever process has put it there."""
        found = self._account.writer.read(self._seen.look)
        found.add_done_callback(self._take_up)
        return found

    def _take_up(self, found: asyncio.Future[list[tuple[sync.Row, Message]]]) -> None:
        if found.cancelled() or found.exception() is not None:
            return
        news = [(row, message) for row, message in found.result() if row.message_id > self._noticed]
        if not news:
            return
        self._noticed = news[-1][0].message_id
        for row, _ in news:
            row.fresh = True
        self.publish(message for _, message in news)
        if self._account.is_owner:
            self._apply(self._outbox.queued([row for row, _ in news]))

    async def cancel(self, message_id: int) -> bool:
        """Take a message back if it certainly was never sent; durable when it returns.

        Only the owner of the account knows that: it may be sending what another process sees
        queued.
        """
        if not self._leads:
            return False
        effects = self._outbox.cancel(message_id, CANCELLED)
        self._apply(effects)
        if effects:
            await self._account.writer.read(lambda _: None)
        return bool(effects)

    def watch(self, message_id: int) -> asyncio.Event:
        """Give what is set when the server decides about the message; look after taking it."""
        return self._watched.setdefault(message_id, asyncio.Event())

    def wake(self) -> None:
        """Let everybody look again who waits for something."""
        for event in self._watched.values():
            event.set()
        self._watched.clear()
        self._tell_changed()

    def publish(self, messages: Iterable[Message]) -> None:
        """Tell what has become of messages of ours."""
        for message in filter(lambda each: each.is_text, messages):
            self._feed.publish(OwnChanged(message))
            if message.settled and (event := self._watched.pop(message.message_id, None)):
                event.set()
        self._tell_changed()

    def _tell_changed(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
        self._on_change()

    # --- the link -------------------------------------------------------------------------------

    def begin(self, link: Link, limits: m.AnnouncedLimits) -> None:
        """Take a new connection; nothing goes out before `welcomed`."""
        self._link = link
        # Of more the counts that were given up could not all be told (`content.MAX_VOIDS`).
        self._outbox.window = min(limits.window, WINDOW)
        self._pacer.start(limits, link.send_paced)
        link.on_sent = self._pacer.spend

    def welcomed(self, welcome: m.Welcome, restarted: Callable[[], object]) -> None:
        """Go on where the server stands; `restarted` is called if another life was at work."""
        effects = self._outbox.welcomed(welcome.last_n, welcome.last_mark or "")
        if any(isinstance(effect, sync.Restart) for effect in effects):
            restarted()
        self._apply(effects)

    def is_foreign(self, welcome: m.Welcome) -> bool:
        """Tell whether another life of this store has sent what the server had last."""
        return self._outbox.is_foreign(welcome.last_n, welcome.last_mark or "")

    def settle(self, last_n: int, last_mark: str) -> sync.Settled:
        """Decide about the messages of a device that sends no more."""
        return sync.settle(self._outbox, last_n, last_mark)

    async def calm(self) -> None:
        """Wait until nothing is being sealed."""
        if self._sealing is not None:
            await asyncio.wait([self._sealing])

    def lost(self) -> None:
        """Forget the connection."""
        self._link = None
        self._pacer.stop()
        self._outbox.disconnected()

    def answered(self, message: m.Stored | m.ErrorReply) -> None:
        """Take what the server has decided about a message."""
        if not isinstance(message.id, int):
            return
        if isinstance(message, m.Stored):
            effects = self._outbox.stored(message.id, message.n, message.seq, message.time)
        else:
            effects = self._outbox.refused(message.id, raised(message))
        self._apply(effects)

    # --- effects --------------------------------------------------------------------------------

    def _apply(self, effects: Iterable[sync.OutboxEffect]) -> None:
        going: list[m.ClientMessage] = []
        for effect in effects:
            if isinstance(effect, sync.Transmit):
                going.append(wire_message(effect))
            elif isinstance(effect, sync.Disconnect):
                give_up(self._link, effect)
            elif isinstance(effect, sync.Seal):
                self._sealing = self._jobs.run(self._seal(effect))
            else:
                self._persist(effect)
        if going and self._link is not None:
            self._pacer.post(map(encode, going))

    async def _seal(self, effect: sync.Seal) -> None:
        stale = {row.to for row in self._outbox.rows if row.message_id in effect.stale}
        done, waits = await self._errands.seal(effect, sorted(stale))
        if waits:
            self._retry_later()
        self._apply(self._outbox.sealed(done.payloads, done.failed))

    def _retry_later(self) -> None:
        """Try again after a while on the same connection; a new one begins anew anyway."""
        link = self._link

        def retry() -> None:
            if self._link is link is not None:
                self._apply(self._outbox.retry())

        asyncio.get_running_loop().call_later(RETRY_S, retry)

    def _persist(self, effect: sync.Confirm | sync.Refuse | sync.Requeue | sync.Restart) -> None:
        if isinstance(effect, sync.Confirm):
            self._jobs.write(lambda store: store.confirm(effect), self.publish)
        elif isinstance(effect, sync.Refuse):
            self._jobs.write(lambda store: store.refuse(effect), self._failed)
        elif isinstance(effect, sync.Restart):
            self._jobs.write(lambda store: store.restart(effect), self._failed)
        else:
            self._jobs.write(lambda store: store.requeue(effect), self._requeued)

    def _failed(self, failed: list[Message]) -> None:
        self.publish(failed)
        self._apply(self._outbox.done())

    def _requeued(self, found: list[tuple[sync.Row, Message]]) -> None:
        self.publish(message for _, message in found)
        self._apply(self._outbox.requeued([row for row, _ in found]))


def give_up(link: Link | None, effect: sync.Disconnect) -> None:
    """End a connection on which the server has broken the protocol."""
    logger.warning("gave the connection up: %s", effect.reason)
    if link is not None:
        link.give_up(protocol_error(effect.reason))


def wire_message(effect: sync.Transmit) -> m.Msg:
    """Give what goes to the server for a message."""
    payload = effect.payload
    return m.Msg(
        id=effect.request_id,
        n=effect.n,
        to=effect.to,
        message=UNSET if payload.ciphertexts is not None else payload.text,
        ciphertexts=UNSET if payload.ciphertexts is None else payload.ciphertexts,
        only=payload.only,
        mark=effect.mark or UNSET,
    )


class _Seen:
    """How far the outbox has been read; kept in the store's thread, so that reads never overlap."""

    def __init__(self, message_id: int = 0) -> None:
        self._message_id = message_id

    def look(self, store: AccountStore) -> list[tuple[sync.Row, Message]]:
        """Give what is new since the last look."""
        found = store.queued_after(self._message_id)
        if found:
            self._message_id = found[-1][0].message_id
        return found
