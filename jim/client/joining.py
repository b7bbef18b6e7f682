"""A new device on its way into an account: it offers itself until one of the account takes it in.

Its keys are durable before anything is offered, and stay the same over lost connections and
crashes; the secret half of its code is new with each run, and after each time that nobody has typed
it. Who gives up before anybody has typed the code leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from jim.client import linking
from jim.client.accounts import Account
from jim.client.address import Address
from jim.client.connector import Connector
from jim.client.events import FirstContact
from jim.client.linking import Joined, Newcomer
from jim.client.local_accounts import account_directory, default_data_dir
from jim.client.policy import Backoff
from jim.core.names import normalise
from jim.crypto import link_code
from jim.crypto.chain import NO_HEAD
from jim.crypto.invites import Invite
from jim.crypto.keys import fingerprint
from jim.decorators import log_calls
from jim.errors import ChainInvalid, ConnectFailed, JimError, KeyFileError, LinkExpired, Revoked

if TYPE_CHECKING:
    from jim.client.connector import Contact
    from jim.crypto.link_code import LinkCode

logger = logging.getLogger(__name__)


MAX_REFUSED: Final = 3
"""Drafts of somebody who does not know the code: more than that is no mistake."""


class Waiting(Protocol):
    """Where it is shown how far a new device has come."""

    def met(self, contact: FirstContact) -> None:
        """Show the identity of a server that was not known before."""

    def show(self, code: LinkCode, expires_s: int) -> None:
        """Show the code and for how long it is good; comes again with each connection."""

    def expired(self) -> None:
        """Say that the code is good no longer; another one follows."""

    def refused(self) -> None:
        """Say that somebody without this code wanted to add the device; another code follows."""

    def lost(self, error: JimError, retry_in_s: float) -> None:
        """Say that there is no connection, and when the next try is."""


class Wish(Struct, frozen=True, kw_only=True):
    """Which account a new device wants to be in; what the fields mean: `Client`."""

    address: Address
    name: str
    data_dir: Path | None = None
    invite: Invite | None = None
    ca_file: Path | None = None
    language: str = "en"


@log_calls
async def join(wish: Wish, waiting: Waiting) -> Joined:
    """Offer this device until another one has added it, over any number of connections and codes.

    The account is closed again when this returns: an ordinary `Client` goes on with it.

    Raises:
        AccountExists: it is on this machine already.
        AccountInUse: another process works with it.
        ChainInvalid: somebody who does not know the code goes on trying to add the device, or what
            it was added to is not the account of who knows it.
        Revoked: it was added and taken out again while it waited; the next run begins anew.
        JimError: a key, the store or the server is of no use.
    """
    joining = _Joining(wish, waiting)
    try:
        return await joining.run()
    finally:
        await joining.aclose()


class _Joining:
    def __init__(self, wish: Wish, waiting: Waiting) -> None:
        self._wish = wish
        self._name = normalise(wish.name)
        self._folder = wish.data_dir or default_data_dir()
        self._waiting = waiting
        self._connector = Connector(
            wish.address,
            self._folder,
            pin=wish.invite.server_id if wish.invite else None,
            ca_file=wish.ca_file,
        )
        self._backoff = Backoff()
        self._secret = link_code.new_secret()
        self._account: Account | None = None
        self._refused = 0
        self._shown = False

    async def run(self) -> Joined:
        # Before the first connection, if it can be: a mistake is told at once.
        if (server_id := await self._connector.identity()) is not None:
            await self._open(server_id)
        while True:
            try:
                return await self._once()
            except Revoked as error:
                await self._begin_anew(error)
            except LinkExpired:
                self._secret = link_code.new_secret()
                self._waiting.expired()
            except ChainInvalid as error:
                self._note_refused(error)
            except JimError as error:
                await self._pause(error)

    async def _pause(self, error: JimError) -> None:
        """Wait before the next connection, if another one may be better.

        Raises:
            JimError: it will not.
        """
        if error.final or not _may_pass(error):
            raise error
        delay_s = self._backoff.next_s(error)
        self._waiting.lost(error, delay_s)
        await asyncio.sleep(delay_s)

    def _note_refused(self, error: ChainInvalid) -> None:
        """Make a new code after somebody has typed one that was good before, or guesses.

        Raises:
            ChainInvalid: it is something else, or goes on.
        """
        self._refused += 1
        if error.fields.get("reason") != "approval" or self._refused > MAX_REFUSED:
            raise error
        self._secret = link_code.new_secret()
        self._waiting.refused()

    async def _once(self) -> Joined:
        """Wait on one connection."""
        contact = await self._connector.connect()
        try:
            self._backoff.succeeded()
            if contact.first:
                shown = fingerprint(contact.greeting.server_id)
                address = str(self._wish.address)
                self._waiting.met(FirstContact(address, shown, contact.link.mode))
            account = await self._open(contact.greeting.server_id)
            return await self._offer(contact, account)
        finally:
            await contact.link.aclose()

    def _show(self, code: LinkCode, expires_s: int) -> None:
        self._shown = True
        self._waiting.show(code, expires_s)

    async def _begin_anew(self, error: Revoked) -> None:
        """Wait as another device: the one that waited was added unheard, and taken out again.

        Raises:
            Revoked: that happened in this run, so it is told; another run goes on.
        """
        self._secret = link_code.new_secret()
        if self._account is not None:
            await self._account.wait_anew()
        if self._shown:
            raise error

    async def _open(self, server_id: bytes) -> Account:
        if self._account is None:
            directory = account_directory(self._folder, server_id, self._name)
            account = Account(directory, self._name, self._wish.language)
            try:
                await asyncio.to_thread(account.prepare, share=False)
                await account.open(linking=True)
            except BaseException:
                await account.aclose()
                raise
            self._account = account
        return self._account

    async def _offer(self, contact: Contact, account: Account) -> Joined:
        keys, fallback = await account.public_keys()
        if fallback is None:
            raise KeyFileError("this device has no encryption keys", reason="missing")
        who = Newcomer(
            key=account.key,
            keys=keys,
            fallback=fallback,
            record=account.record,
            secret=self._secret,
            show=self._show,
            save=account.save,
        )
        joined = await linking.join(contact.link, contact.greeting, who)
        # The very chain that was verified, so that the server cannot show another one later on.
        name, now_ms = self._name, int(time.time() * 1000)
        await account.writer.write(lambda store: store.learn(name, joined.links, now_ms))
        return joined

    async def aclose(self) -> None:
        """Close the account; one that nobody can have taken in, for it proved nothing, is gone."""
        if self._account is None:
            return
        if self._account.is_new and self._account.record.chain_head == NO_HEAD:
            await self._account.discard()
        else:
            await self._account.aclose()


def _may_pass(error: JimError) -> bool:
    """Tell whether to try again: the network's errors, and the server's that say so."""
    return isinstance(error, ConnectFailed) or error.retryable
