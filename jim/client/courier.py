"""The messages of one account, coming and going: what the server says goes to whom it concerns.

`sending` and `receiving` carry out what `sync` decides; here they are put together with everything
else that one connection serves. All of it runs on the event loop; the store's thread answers in the
order in which it was asked, which is what `sync` relies on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from jim.client.comparing import Comparing
from jim.client.encryption.content import SAS
from jim.client.errands import Errands
from jim.client.events import BEHIND, RESTORED
from jim.client.handing_over import HandingOver
from jim.client.hints import Hints
from jim.client.jobs import Jobs
from jim.client.own_devices import OwnDevices
from jim.client.receipts import Receipts
from jim.client.receiving import Receiving
from jim.client.sending import Sending
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jim.client import sync
    from jim.client.account_store import AccountStore
    from jim.client.accounts import Account
    from jim.client.events import Message
    from jim.client.feed import Feed
    from jim.client.link import Link
    from jim.client.mailbox import Frame, News
    from jim.client.presence import Presence
    from jim.client.store import Draft


ResultT = TypeVar("ResultT")


class Courier:
    """Everything that goes between one account and its server; made and used on one event loop."""

    def __init__(
        self,
        account: Account,
        feed: Feed,
        presence: Presence,
        fail: Callable[[Exception], None],
    ) -> None:
        """Take an open account, whom to tell, and what to call when the store fails."""
        self._account, self._feed, self._presence = account, feed, presence
        self._jobs = Jobs(account, fail)
        self.errands = Errands(account, self._learned)
        self._sending = Sending(account, self.errands, feed, self._jobs, self._look_at_history)
        self.own = OwnDevices(account, self.errands, self.notice)
        self.comparing = Comparing(account.name, feed.publish, self._write_and_send)
        self._handing = HandingOver(
            account, lambda: self._sending.is_idle, self.notice, feed.publish, fail
        )
        self._receiving = Receiving(
            account,
            self.errands,
            feed,
            self._jobs,
            fail,
            handlers={SAS: self.comparing.take},
            kept=self.notice,
            wanted=self._handing.wake,
        )
        self._receipts = Receipts(self._jobs.write, self._sending.publish)
        self._hints = Hints(self._jobs.run, self._look_at_known, self.errands.offer_keys)

    async def load(self) -> None:
        """Take up the durable state."""
        leads = self._account.is_owner
        standing = await self._account.writer.read(lambda store: store.standing())
        await self._sending.load(standing)
        self._receiving.load(standing)
        if leads:
            # A life that ended between storing and showing has left them.
            for notice in await self._account.writer.read(lambda store: store.unshown_notices()):
                self._feed.publish(notice)

    # --- the front end --------------------------------------------------------------------------

    async def send(self, draft: Draft) -> Message:
        """Queue a message; it is durable, and on its way if it can be, when this returns."""
        return await self._sending.send(draft)

    def notice(self) -> asyncio.Future[list[tuple[sync.Row, Message]]]:
        """Take up what is new in the outbox, whichever process has put it there."""
        return self._sending.notice()

    async def cancel(self, message_id: int) -> bool:
        """Take a message back if it certainly was never sent; durable when it returns."""
        return await self._sending.cancel(message_id)

    def watch(self, message_id: int | None) -> asyncio.Event:
        """Give what is set when the server decides about a message, None for any change of ours.

        Look after taking it, then wait.
        """
        return self._sending.changed if message_id is None else self._sending.watch(message_id)

    def wake(self) -> None:
        """Let everybody look again who waits for something."""
        self._sending.wake()

    # --- devices --------------------------------------------------------------------------------

    def _look_at_history(self) -> None:
        """Hand the next part of a history over if nothing else waits."""
        self._handing.look()

    async def hand_over(self, device: str, shown_id: int) -> None:
        """Hand the history over to a device, as soon as it is in our chain; durable at once."""
        await self._account.writer.write(lambda store: store.begin_handing(device, shown_id))

    async def taken_in(self, added: m.Link) -> None:
        """Take up the link by which this device has added another one, and tell it our name."""
        await self._account.learn_own([added])
        await self._account.writer.write(lambda store: store.tell_name_to(added.device))
        self.notice()
        self._handing.wake()

    @property
    def highest_n(self) -> int:
        """The highest number that a message of this device has."""
        return self._sending.highest_n

    async def strayed(self, welcome: m.Welcome) -> str:
        """Tell by which code another life of this store has been at work, empty if none has."""
        await self.calm()
        if self._sending.is_foreign(welcome):
            return RESTORED
        return BEHIND if self._receiving.is_behind(welcome) else ""

    def settle(self, last_n: int, last_mark: str) -> sync.Settled:
        """Decide about the messages of a device that sends no more."""
        return self._sending.settle(last_n, last_mark)

    def decided(self, messages: Iterable[Message]) -> None:
        """Tell what was decided about messages of ours elsewhere than here."""
        self._sending.publish(messages)

    # --- the link -------------------------------------------------------------------------------

    async def welcomed(self, link: Link, welcome: m.Welcome, limits: m.AnnouncedLimits) -> None:
        """Go on with a new connection."""
        await self.calm()
        self.errands.link = link
        self._sending.begin(link, limits)
        self._receiving.welcomed(link, welcome)
        self._sending.welcomed(welcome, lambda: self._receiving.note(RESTORED, welcome.time))
        self._jobs.run(self.own.welcomed(welcome))
        self._jobs.run(self.errands.offer_keys(welcome.one_time_keys))
        await self._ask_receipts(link)
        self._handing.begin(limits.text_bytes)

    async def calm(self) -> None:
        """Wait until nothing is on its way to the store."""
        await self._sending.calm()
        await self._receiving.settled()
        await self._account.writer.read(lambda _: None)

    def lost(self) -> None:
        """Forget the connection."""
        self.errands.link = None
        self._hints.forget()
        self._receiving.lost()
        self._sending.lost()

    async def aclose(self) -> None:
        """Stop asking for anything; what the store was told is still carried out."""
        self.lost()
        self._receiving.cancel()
        await asyncio.gather(self._jobs.aclose(), self._receiving.settled(), return_exceptions=True)

    async def receive(self, messages: Iterable[m.ServerMessage]) -> None:
        """Deal with what came with one read; what it brought for us shares one transaction."""
        kept: list[Frame] = []
        for message in messages:
            if isinstance(message, (m.Delivery, m.Notice)):
                self._receiving.consider(message, kept)
            elif isinstance(message, (m.Stored, m.ErrorReply)):
                self._sending.answered(message)
            else:
                self._hear(message)
        if kept:
            await self._receiving.keep(kept)

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

    # --- others ---------------------------------------------------------------------------------

    def _learned(self, news: Iterable[News]) -> None:
        """Tell what a device chain has brought; there may be something to say to a new device."""
        self._receiving.publish(news)
        self.notice()
        self._handing.wake()

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
        self._receipts.ask(link, names, lambda chains: self._jobs.run(self._look_at_known(chains)))

    def _write_and_send(
        self, work: Callable[[AccountStore], ResultT], done: Callable[[ResultT], None]
    ) -> None:
        """Change the store, and send what has been queued with that."""

        def finish(result: ResultT) -> None:
            done(result)
            self.notice()

        self._jobs.write(work, finish)
