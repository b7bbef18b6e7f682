"""What runs behind a client: the open account, its link, its courier, and the end of it all.

The account is opened once: at the start if the server is known, else at the first contact. What is
fatal ends the link but not the store, so that the history stays readable until `aclose`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from jim.client.account_record import Stage
from jim.client.accounts import Account
from jim.client.address import Address
from jim.client.connector import Connector
from jim.client.courier import Courier
from jim.client.events import Fatal, LinkState
from jim.client.keeper import Keeper, registered
from jim.client.key_opener import KeyOpener
from jim.client.local_accounts import account_directory
from jim.client.presence import Presence
from jim.core.names import normalise
from jim.crypto.invites import Invite
from jim.crypto.keys import SigningKey
from jim.errors import AccountMissing, JimError, LinkUnfinished, Revoked

if TYPE_CHECKING:
    from jim.client.feed import Feed

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25
"""How often to look for messages of other processes and for jumps of the clock: below what people
notice, for 0.1 ms of work each time."""


class Options(Struct, frozen=True, kw_only=True):
    """What the user chose; `Client` says what each of them is."""

    address: Address
    name: str
    data_dir: Path
    invite: Invite | None
    ca_file: Path | None
    language: str
    share: bool
    recovery: SigningKey | None = None
    resetting: bool = False
    opener: KeyOpener | None = None


class Background:
    """One account being kept connected; made and used on one event loop."""

    def __init__(self, options: Options, feed: Feed) -> None:
        """Take what the user chose and whom to tell.

        Raises:
            NameInvalid: the name cannot be one.
        """
        self.name = normalise(options.name)
        self.feed = feed
        self.presence = Presence(feed)
        self.fatal: JimError | None = None
        self.server_id: bytes | None = None
        self._options = options
        invite = options.invite
        self._connector = Connector(
            options.address,
            options.data_dir,
            pin=invite.server_id if invite else None,
            ca_file=options.ca_file,
        )
        self.keeper = Keeper(
            options.address,
            self._connector,
            feed,
            self.presence,
            self._open_account,
            token=(invite.token or None) if invite else None,  # without one it is only a pin
            recovery=options.recovery,
            resetting=options.resetting,
        )
        self._account: Account | None = None
        self._courier: Courier | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._opened = asyncio.Event()
        self._opening = asyncio.Lock()
        self._closed = False

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the account if the server is known, and go to work.

        Raises:
            JimError: the account, its key or the list of known servers cannot be used.
        """
        try:
            if (server_id := await self._connector.identity()) is not None:
                account, _ = await self._open_account(server_id)
                if not account.is_owner:
                    self.keeper.become(LinkState.SHARED)
        except BaseException:
            await self.aclose()
            raise
        self._tasks = [asyncio.create_task(self._main()), asyncio.create_task(self._tick())]

    async def aclose(self) -> None:
        """Say goodbye and close everything."""
        self._closed = True
        if self.keeper.link is not None:
            await self.keeper.link.aclose(politely=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.presence.close()
        if self._courier is not None:
            self._courier.comparing.close()
            await self._courier.aclose()
        if self._account is not None:
            await self._account.aclose()
        self.keeper.state = LinkState.STOPPED
        self.feed.close()
        self._wake()

    async def account(self) -> Account:
        """Give the account, after a first contact if need be; it stays readable after the end.

        Raises:
            JimError: there never was an account, or it has been closed.
        """
        await self._opened.wait()
        if self._account is None or self._courier is None or self._closed:
            raise self.fatal or AccountMissing("the client is closed")
        return self._account

    async def courier(self) -> Courier:
        """Give who carries messages, after a first contact if need be.

        Raises:
            JimError: what ended the link for good.
        """
        await self.account()
        if self.fatal is not None or self._courier is None:
            raise self.fatal or AccountMissing("the client is closed")
        return self._courier

    def watch(self, message_id: int | None) -> asyncio.Event:
        """Give what is set when a message is decided about (None: any changes) and at the end."""
        if self._courier is None:
            return self._opened
        return self._courier.watch(message_id)

    # --- the tasks --------------------------------------------------------------------------------

    async def _main(self) -> None:
        """Live until something fatal, and tell it."""
        try:
            await self._live()
        except asyncio.CancelledError:
            if self.fatal is None:
                raise
        except JimError as error:
            self.fatal = error
            if isinstance(error, Revoked) and self._account is not None:
                with contextlib.suppress(JimError):  # the next login finds it out again
                    await self._account.writer.write(lambda store: store.note_revoked())
        except Exception:
            logger.exception("unexpected error")
            self.fatal = JimError("internal error of the client; its log has the details")
        self._stop()

    async def _live(self) -> None:
        while True:
            if self._account is not None and not self._account.is_owner:
                await self._take_over(self._account)
            await self.keeper.run()

    async def _take_over(self, account: Account) -> None:
        """Wait until the other process is gone, then be the owner."""
        if self.keeper.state is not LinkState.SHARED:
            self.keeper.become(LinkState.SHARED)
        # Polling, because a lock between processes cannot be awaited.
        while not await asyncio.to_thread(account.take_over):  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)
        await account.refresh()
        if self._courier is not None:
            await self._courier.load()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.keeper.look_at_clock()
            if self._account is None or self._courier is None:
                continue
            with contextlib.suppress(JimError):
                if await self._account.writer.changed_elsewhere():
                    await asyncio.wait([self._courier.notice()])
                    self._courier.wake()

    # --- opening and ending -----------------------------------------------------------------------

    async def _open_account(self, server_id: bytes) -> tuple[Account, Courier]:
        async with self._opening:
            if self._account is not None and self._courier is not None:
                return self._account, self._courier
            options = self._options
            directory = account_directory(options.data_dir, server_id, self.name)
            account = Account(directory, self.name, options.language, options.opener)
            self._account = account
            await asyncio.to_thread(account.prepare, share=options.share)
            await account.open(recovering=options.recovery is not None, resetting=options.resetting)
            account.writer.failed.add_done_callback(lambda failed: self._fail(failed.result()))
            if account.record.stage is Stage.LINKING and options.recovery is None:
                raise LinkUnfinished
            courier = Courier(account, self.feed, self.presence, self._fail)
            await courier.load()
            self._courier, self.server_id = courier, server_id
            self._opened.set()
            if account.is_owner and account.record.stage is Stage.REGISTERED:
                self._announce_words(account)
        return account, courier

    def _announce_words(self, account: Account) -> None:
        """Tell the words again that were made earlier and that nobody has seen."""
        if account.record.words is not None:
            self.feed.publish(registered(account))

    def _fail(self, error: Exception) -> None:
        """Stop because the store failed: what is on disk can no longer be relied upon."""
        if self._closed:
            return
        logger.error("the store failed: %s", error)
        if self.fatal is None:
            self.fatal = error if isinstance(error, JimError) else JimError(str(error))
            for task in self._tasks:
                task.cancel()

    def _stop(self) -> None:
        """Tell that it is over; the store stays open for reading."""
        if self.fatal is not None:
            logger.error("stopped: %s", self.fatal)
            self.keeper.error = self.fatal
            self.feed.publish(Fatal(self.fatal))
            self.keeper.become(LinkState.STOPPED)
        self.feed.close()
        self._wake()

    def _wake(self) -> None:
        self._opened.set()
        if self._courier is not None:
            self._courier.wake()
