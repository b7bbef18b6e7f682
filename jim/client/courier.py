"""Carry out what `sync` decides: between the account's store, the link, and the listeners.

Everything runs on the event loop; the store's thread answers in the order in which it was asked,
which is what `sync` relies on. Listeners hear of nothing that is not durable.
"""

# long module: the one place where everything that `sync` decides is carried out

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import UNSET

from jim.client import sync
from jim.client.comparing import Comparing
from jim.client.encryption.content import SAS
from jim.client.errands import Errands
from jim.client.events import (
    BEHIND,
    CANCELLED,
    RESTORED,
    HistoryMoved,
    Message,
    MissingNotice,
    OwnChanged,
    Received,
)
from jim.client.handing_over import HandingOver
from jim.client.hints import Hints
from jim.client.intake import Intake
from jim.client.link import Link, protocol_error
from jim.client.mailbox import FromDevice
from jim.client.own_devices import OwnDevices
from jim.client.pacer import Pacer
from jim.client.receipts import Receipts
from jim.core.limits import WINDOW
from jim.errors import JimError
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.protocol.replies import raised

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from jim.client.accounts import Account, AccountStore
    from jim.client.feed import Feed
    from jim.client.mailbox import Frame, Kept, News
    from jim.client.presence import Presence
    from jim.client.store import Draft

logger = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""When to try again to seal what the server gave no keys for: half of the minute that its limit
counts by (`Limits.claims_per_minute`)."""

ResultT = TypeVar("ResultT")


class Courier:
    """The messages of one account, coming and going."""

    def __init__(
        self,
        account: Account,
        feed: Feed,
        presence: Presence,
        fail: Callable[[Exception], None],
    ) -> None:
        """Take an open account, whom to tell, and what to call when the store fails."""
        self._account = account
        self._feed = feed
        self._presence = presence
        self._fail = fail
        self._outbox = sync.Outbox(0, [], WINDOW)
        self._inbox = sync.Inbox("", 0)
        self._link: Link | None = None
        self._noticed = 0
        self._leads = False
        self._pacer = Pacer(asyncio.get_running_loop())
        self.errands = Errands(account, self._learned)
        self.own = OwnDevices(account, self.errands, self.notice)
        self.comparing = Comparing(account.name, feed.publish, self._write_and_send)
        self._handlers: dict[str, Callable[[FromDevice], None]] = {SAS: self.comparing.take}
        self._intake = Intake(account, self.errands, self._kept, fail)
        self._handing = HandingOver(account, self._is_idle, self.notice, feed.publish, fail)
        self._receipts = Receipts(self._write, self._publish_own)
        self._hints = Hints(self._run, self._look_at_known, self.errands.offer_keys)
        self._sealing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen = _Seen()
        self._watched: dict[int, asyncio.Event] = {}
        self.changed = asyncio.Event()
        """Set at the next change of a message of ours; take it before you look, then wait."""

    async def load(self) -> None:
        """Take up the durable state; what is queued already may stem from an earlier life."""
        leads = self._account.is_owner
        standing = await self._account.writer.read(lambda store: store.standing())
        found = await self._account.writer.read(lambda store: store.queued_after(0))
        # Not the last one that is queued: what the server has lost is queued again under its old
        # id, and must not be found as new once more.
        self._noticed = standing.highest_id
        self._seen = _Seen(self._noticed)
        rows = [row for row, _ in found if row.message_id <= self._noticed]
        self._outbox = sync.Outbox(standing.confirmed_n, rows, self._outbox.window)
        self._inbox = sync.Inbox(standing.epoch, standing.position)
        self._leads = leads
        if leads:
            # A life that ended between storing and showing has left them.
            for notice in await self._account.writer.read(lambda store: store.unshown_notices()):
                self._feed.publish(notice)

    @property
    def highest_n(self) -> int:
        """The highest number that a message of this device has."""
        return self._outbox.highest

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
        self._publish_own(message for _, message in news)
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

    def _tell_changed(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()
        self._handing.look()

    # --- new devices ------------------------------------------------------------------------------

    async def hand_over(self, device: str, shown_id: int) -> None:
        """Hand the history over to a device, as soon as it is in our chain; durable at once."""
        await self._account.writer.write(lambda store: store.begin_handing(device, shown_id))

    async def taken_in(self, added: m.Link) -> None:
        """Take up the link by which this device has added another one, and tell it our name."""
        await self._account.learn_own([added])
        await self._account.writer.write(lambda store: store.tell_name_to(added.device))
        self.notice()
        self._handing.wake()

    def _is_idle(self) -> bool:
        return self._leads and self._link is not None and not self._outbox.rows

    # --- the link -------------------------------------------------------------------------------

    async def welcomed(self, link: Link, welcome: m.Welcome, limits: m.AnnouncedLimits) -> None:
        """Go on with a new connection."""
        await self.calm()
        self._link = self.errands.link = link
        # Of more the counts that were given up could not all be told (`content.MAX_VOIDS`).
        self._outbox.window = min(limits.window, WINDOW)
        self._pacer.start(limits, link.send_paced)
        link.on_sent = self._pacer.spend
        effects = self._inbox.welcomed(welcome.epoch, welcome.position, welcome.acked, BEHIND)
        for effect in effects:
            self._apply_inbox(effect, welcome.time)
        outgoing = self._outbox.welcomed(welcome.last_n, welcome.last_mark or "")
        if any(isinstance(effect, sync.Restart) for effect in outgoing):
            self._note_missing(RESTORED, welcome.time)
        self._apply(outgoing)
        self._run(self.own.welcomed(welcome))
        self._run(self.errands.offer_keys(welcome.one_time_keys))
        await self._ask_receipts(link)
        self._handing.begin(limits.text_bytes)

    async def calm(self) -> None:
        """Wait until nothing is on its way to the store."""
        if self._sealing is not None:
            await asyncio.wait([self._sealing])
        await self._intake.settled()
        await self._account.writer.read(lambda _: None)

    async def strayed(self, welcome: m.Welcome) -> str:
        """Tell by which code another life of this store has been at work, empty if none has."""
        await self.calm()
        if self._outbox.is_foreign(welcome.last_n, welcome.last_mark or ""):
            return RESTORED
        return BEHIND if self._inbox.cursor < welcome.acked else ""

    def settle(self, last_n: int, last_mark: str) -> sync.Settled:
        """Decide about the messages of a device that sends no more."""
        return sync.settle(self._outbox, last_n, last_mark)

    def decided(self, messages: Iterable[Message]) -> None:
        """Tell what was decided about messages of ours elsewhere than here."""
        self._publish_own(messages)

    def lost(self) -> None:
        """Forget the connection."""
        self._link = self.errands.link = None
        self._hints.forget()
        self._intake.lose()
        self._pacer.stop()
        self._outbox.disconnected()

    async def aclose(self) -> None:
        """Stop asking for anything; what the store was told is still carried out."""
        self.lost()
        self._intake.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, self._intake.settled(), return_exceptions=True)

    async def receive(self, messages: Iterable[m.ServerMessage]) -> None:
        """Deal with what came with one read; what it brought for us shares one transaction."""
        kept: list[Frame] = []
        for message in messages:
            if isinstance(message, (m.Delivery, m.Notice)):
                self._consider(message, kept)
            elif isinstance(message, (m.Stored, m.ErrorReply)):
                self._answered(message)
            else:
                self._hear(message)
        if kept:
            await self._intake.add(kept)

    def _hear(self, message: m.ServerMessage) -> None:
        """Take what the server says about others, or about our keys."""
        if isinstance(message, m.PresenceChange):
            self._presence.changed(message)
        elif isinstance(message, m.Delivered):
            self._receipts.hear(message.name, message.seq)
        elif isinstance(message, m.DevicesChange):
            self._hints.chain(message.name, message.chain_seq)
        elif isinstance(message, m.KeysLeft):
            self._hints.keys(message.one_time_keys)

    def _consider(self, message: Frame, kept: list[Frame]) -> None:
        decision, effects = self._inbox.frame(message.position)
        if decision is sync.Decision.KEEP:
            kept.append(message)
        for effect in effects:
            self._apply_inbox(effect, message.time)

    def _answered(self, message: m.Stored | m.ErrorReply) -> None:
        if not isinstance(message.id, int):
            return
        if isinstance(message, m.Stored):
            effects = self._outbox.stored(message.id, message.n, message.seq, message.time)
        else:
            effects = self._outbox.refused(message.id, raised(message))
        self._apply(effects)

    def _kept(self, kept: Kept) -> None:
        """Tell what has become durable, and confirm it."""
        self._publish_news(kept.news)
        for effect in self._inbox.stored(kept.position):
            self._apply_inbox(effect, 0)
        self.notice()  # something for other devices may have been queued with it

    def _publish_news(self, news: Iterable[News]) -> None:
        for new in news:
            if isinstance(new, (MissingNotice, HistoryMoved)):
                self._feed.publish(new)
            elif isinstance(new, FromDevice):
                if (handler := self._handlers.get(new.kind)) is not None:
                    handler(new)
            else:
                self._feed.publish(OwnChanged(new) if new.outgoing else Received(new))
            if isinstance(new, HistoryMoved) and not new.incoming:
                self._handing.wake()

    def _learned(self, news: Iterable[News]) -> None:
        """Tell what a device chain has brought; there may be something to say to a new device."""
        self._publish_news(news)
        self.notice()
        self._handing.wake()

    def _note_missing(self, code: str, time_ms: int) -> None:
        self._write(lambda store: store.note(code, time_ms), self._feed.publish)

    async def _look_at_known(self, chains: Mapping[str, int]) -> None:
        """Ask for chains that have grown, of those that we have."""
        for name, seq in chains.items():
            known = await self._account.writer.read(lambda store, n=name: store.chain_seq(n))  # type: ignore[misc]
            if 0 <= known < seq:
                await self.errands.look_at_all([name])
        await self._account.pin_own()

    async def _ask_receipts(self, link: Link) -> None:
        """Ask how far those hold our messages of whom we do not know it."""
        names = await self._account.writer.read(lambda store: store.undelivered())
        self._receipts.ask(link, names, lambda chains: self._run(self._look_at_known(chains)))

    # --- effects --------------------------------------------------------------------------------

    def _apply(self, effects: Iterable[sync.OutboxEffect]) -> None:
        going: list[m.ClientMessage] = []
        for effect in effects:
            if isinstance(effect, sync.Transmit):
                going.append(_msg(effect))
            elif isinstance(effect, sync.Disconnect):
                self._disconnect(effect)
            elif isinstance(effect, sync.Seal):
                self._sealing = self._run(self._seal(effect))
            else:
                self._persist(effect)
        if going and self._link is not None:
            self._pacer.post(map(encode, going))

    async def _seal(self, effect: sync.Seal) -> None:
        stale = {row.to for row in self._outbox.rows if row.message_id in effect.stale}
        done, waits = await self.errands.seal(effect, sorted(stale))
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

    def _run(self, errand: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside; a failure of the store ends the client."""
        task = asyncio.create_task(errand)
        self._tasks.add(task)

        def finish(finished: asyncio.Task[None]) -> None:
            self._tasks.discard(finished)
            if not finished.cancelled() and isinstance(error := finished.exception(), Exception):
                self._fail(error)

        task.add_done_callback(finish)
        return task

    def _persist(self, effect: sync.Confirm | sync.Refuse | sync.Requeue | sync.Restart) -> None:
        if isinstance(effect, sync.Confirm):
            self._write(lambda store: store.confirm(effect), self._publish_own)
        elif isinstance(effect, sync.Refuse):
            self._write(lambda store: store.refuse(effect), self._failed)
        elif isinstance(effect, sync.Restart):
            self._write(lambda store: store.restart(effect), self._failed)
        else:
            self._write(lambda store: store.requeue(effect), self._requeued)

    def _failed(self, failed: list[Message]) -> None:
        self._publish_own(failed)
        self._go_on()

    def _requeued(self, found: list[tuple[sync.Row, Message]]) -> None:
        self._publish_own(message for _, message in found)
        self._apply(self._outbox.requeued([row for row, _ in found]))

    def _go_on(self) -> None:
        self._apply(self._outbox.done())

    def _apply_inbox(self, effect: sync.InboxEffect, time_ms: int) -> None:
        if isinstance(effect, sync.Missing):
            self._note_missing(effect.code, time_ms)
        elif isinstance(effect, sync.MoveCursor):
            moved = effect
            self._write(lambda s: s.move_cursor(moved.epoch, moved.position), lambda _: None)
        elif isinstance(effect, sync.Disconnect):
            self._disconnect(effect)
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

    def _disconnect(self, effect: sync.Disconnect) -> None:
        logger.warning("gave the connection up: %s", effect.reason)
        if self._link is not None:
            self._link.give_up(protocol_error(effect.reason))

    def _write(
        self, work: Callable[[AccountStore], ResultT], done: Callable[[ResultT], None]
    ) -> asyncio.Future[ResultT]:
        """Change the store; `done` is called once it is durable, in the order of the calls."""
        future = self._account.writer.write(work)

        def finish(finished: asyncio.Future[ResultT]) -> None:
            if finished.cancelled():
                return
            if (error := finished.exception()) is None:
                done(finished.result())
            elif isinstance(error, Exception):
                self._fail(error)

        future.add_done_callback(finish)
        return future

    def _write_and_send(
        self, work: Callable[[AccountStore], ResultT], done: Callable[[ResultT], None]
    ) -> None:
        """Change the store, and send what has been queued with that."""

        def finish(result: ResultT) -> None:
            done(result)
            self.notice()

        self._write(work, finish)

    def _publish_own(self, messages: Iterable[Message]) -> None:
        for message in filter(lambda each: each.is_text, messages):
            self._feed.publish(OwnChanged(message))
            if message.settled and (event := self._watched.pop(message.message_id, None)):
                event.set()
        self._tell_changed()


def _msg(effect: sync.Transmit) -> m.Msg:
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
