"""Keep one account connected: connect, log in, serve, wait, again; until that makes no sense."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from jim.client import rotation
from jim.client.account_record import Stage
from jim.client.events import DevicesChanged, FirstContact, LinkChanged, LinkState, Registered
from jim.client.login import Credentials, log_in
from jim.client.policy import LOGIN_S, STEADY_S, Backoff
from jim.core.limits import Limits
from jim.crypto.keys import fingerprint
from jim.errors import ChainInvalid, ConnectFailed, JimError, Revoked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jim.client.accounts import Account
    from jim.client.address import Address
    from jim.client.connector import Connector, Contact
    from jim.client.courier import Courier
    from jim.client.feed import Feed
    from jim.client.link import Link
    from jim.client.presence import Presence
    from jim.crypto.keys import SigningKey
    from jim.protocol.messages import AnnouncedLimits

logger = logging.getLogger(__name__)

JUMP_S: Final = 2.0
"""Wall clock against monotonic clock between two looks: more than this means that the machine has
slept or that somebody set the clock. NTP slews by 0.5 ms a second."""

MAX_ROTATIONS: Final = 3
"""A device that is new is replaced by nobody but a server that lies about it."""


class Keeper:
    """The link of one account, as long as it makes sense to have one."""

    def __init__(
        self,
        address: Address,
        connector: Connector,
        feed: Feed,
        presence: Presence,
        open_account: Callable[[bytes], Awaitable[tuple[Account, Courier]]],
        *,
        token: str | None,
        recovery: SigningKey | None,
        resetting: bool = False,
    ) -> None:
        """Take what it works with; `open_account` gives the account on the server with an id."""
        self.state = LinkState.CONNECTING
        self.error: JimError | None = None
        self.limits: AnnouncedLimits = Limits().announced()
        self.link: Link | None = None
        self._address = address
        self._connector = connector
        self._feed = feed
        self._presence = presence
        self._open_account = open_account
        self._token = token
        self._recovery = recovery
        self._resetting = resetting
        self._backoff = Backoff()
        self._retry = asyncio.Event()
        self._clocks = (time.time(), time.monotonic())

    async def run(self) -> None:
        """Keep the link up; returns only when another process turns out to have the account.

        Raises:
            JimError: the account or the server is of no use any more.
        """
        rotations = 0
        while True:
            began = time.monotonic()
            try:
                if not await self._session():
                    return
                rotations += 1
                if rotations > MAX_ROTATIONS:
                    raise ChainInvalid("the server knows what no new device has done", reason="new")
                continue
            except JimError as error:
                if error.final:
                    raise
                self.error = error
            # Connecting may take long too, and in vain: only a session says something good.
            if self.state is LinkState.ONLINE:
                self._note_session(time.monotonic() - began)
            await self._wait(self._backoff.next_s(self.error))

    def _note_session(self, lasted_s: float) -> None:
        if lasted_s >= STEADY_S:
            self._backoff.succeeded()
        else:
            self._backoff.met_server()

    def retry_now(self) -> None:
        """End the wait, or ask for a sign of life if there is a link."""
        self._retry.set()
        if self.link is not None:
            self.link.probe_now()

    def look_at_clock(self) -> None:
        """Find out whether the machine has slept since the last look."""
        before, now = self._clocks, (time.time(), time.monotonic())
        self._clocks = now
        if abs((now[0] - before[0]) - (now[1] - before[1])) > JUMP_S:
            logger.info("the clock has jumped")
            self.retry_now()

    def become(self, state: LinkState, retry_in_s: float | None = None) -> None:
        """Change the state and tell everybody."""
        self.state = state
        self._feed.publish(LinkChanged(state, retry_in_s, self.error))

    async def _wait(self, delay_s: float) -> None:
        logger.info("no link, next try in %.1f s: %s", delay_s, self.error)
        self._retry.clear()
        self.become(LinkState.WAITING, delay_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._retry.wait()

    async def _session(self) -> bool:
        """Serve one connection to its end; returns only when the next one is for another device.

        That is so when this one was replaced; False if the account is not ours.
        """
        self.become(LinkState.CONNECTING)
        contact = await self._connector.connect()
        try:
            if contact.first:
                shown = fingerprint(contact.greeting.server_id)
                self._feed.publish(FirstContact(str(self._address), shown, contact.link.mode))
            account, courier = await self._open_account(contact.greeting.server_id)
            if account.is_owner:
                await self._serve(contact, account, courier)
            return account.is_owner
        finally:
            self.link = None
            await contact.link.aclose()

    async def _serve(self, contact: Contact, account: Account, courier: Courier) -> None:
        """Log in and serve; returns only when the device was replaced by a new one."""
        link, terms = contact.link, contact.greeting.terms
        self.limits = terms.limits
        before = account.record
        try:
            async with asyncio.timeout(LOGIN_S):
                who = await self._credentials(account, courier)
                welcome = await log_in(link, contact.greeting, who)
        except Revoked:
            if await rotation.finish(account, courier):  # the answer to our own revoking was lost
                return
            raise
        except TimeoutError as error:
            raise ConnectFailed(f"{self._address}: no answer", reason="timeout") from error
        is_new = before.device != account.record.device
        if before.stage is not Stage.REGISTERED or is_new:
            self._feed.publish(registered(account))
        elif account.record.chain_seq != before.chain_seq and await _is_news(account):
            self._feed.publish(DevicesChanged(account.record.chain_seq))
        if await rotation.is_due(account, courier, welcome):
            await rotation.rotate(link, account, courier, welcome)
            return
        try:
            await courier.welcomed(link, welcome, terms.limits)
            self.link, self.error = link, None
            link.start_watching()
            self._presence.reconnected(link)
            self.become(LinkState.ONLINE)
            while True:
                await courier.receive(await link.receive())
        finally:
            courier.lost()

    async def _renew(self, account: Account, courier: Courier) -> Credentials:
        """Make another device of this machine; gives what it logs in with."""
        await courier.calm()
        await account.renew(resetting=self._resetting)
        await courier.load()
        return await self._credentials(account, courier)

    async def _credentials(self, account: Account, courier: Courier) -> Credentials:
        keys, fallback = await account.public_keys()
        return Credentials(
            key=account.key,
            record=account.record,
            counter=courier.highest_n,
            token=self._token,
            recovery=self._recovery,
            resetting=self._resetting,
            keys=keys,
            fallback=fallback,
            save=account.save,
            renew=(lambda: self._renew(account, courier)) if account.must_renew else None,
        )


async def _is_news(account: Account) -> bool:
    """Tell whether nothing else says that the own chain has grown.

    Where it is known here, each device that came or went gets a notice, which stays until it was
    shown (`OwnDevices.welcomed`).
    """
    name = account.name
    return await account.writer.read(lambda store: store.chain_seq(name)) < 0


def registered(account: Account) -> Registered:
    """Word that the name is ours, with the recovery words that nobody has seen yet."""
    words = account.record.words
    return Registered(account.name, None if words is None else tuple(words.split()))
