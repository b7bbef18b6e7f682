# long module: everything that a front end may ask, most of it one call further
"""The client that front ends use: one account on one server, kept connected in the background.

It shows nothing and asks nothing. What happens comes as events; what was sent is durable when
`send` returns, and stays on its way until the server has decided about it, over any number of
connections and restarts.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from jim.client import approving
from jim.client.background import Background, Options
from jim.client.devices import checked_name, find_device
from jim.client.events import Contacts, Conversation, LinkState, Message, MessageState
from jim.client.feed import Feed, Subscription
from jim.client.local_accounts import default_data_dir
from jim.client.store import Draft
from jim.client.trusting import Trusting
from jim.core.limits import Limits
from jim.core.names import normalise
from jim.crypto import words as recovery_words
from jim.crypto.keys import fingerprint
from jim.decorators import log_calls
from jim.errors import BadRequest, ConnectFailed, JimError, NameInvalid, TextTooLong

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jim.client.account_store import AccountStore
    from jim.client.address import Address
    from jim.client.devices import Device
    from jim.client.key_opener import KeyOpener
    from jim.crypto.invites import Invite
    from jim.crypto.link_code import LinkCode
    from jim.protocol.messages import AnnouncedLimits, Offer

ResultT = TypeVar("ResultT")


class Client(Trusting):
    """One account on one server; see the module."""

    def __init__(
        self,
        server: Address,
        name: str,
        *,
        data_dir: Path | None = None,
        invite: Invite | None = None,
        ca_file: Path | None = None,
        language: str = "en",
        share: bool = False,
        opener: KeyOpener | None = None,
    ) -> None:
        """Take what the user chose; nothing happens before `start`.

        Args:
            server: where to connect.
            name: as typed.
            data_dir: where accounts live; by default where the platform keeps such things.
            invite: pin of the server and token for the registration.
            ca_file: accept only a certificate of these authorities.
            language: of recovery words that have to be made, "en" or "ru".
            opener: opens a key of this device that a passphrase seals.
            share: where another process has the account, send through its store instead of failing.
        """
        self.address = server
        self.name = name
        self._options = Options(
            address=server,
            name=name,
            data_dir=data_dir or default_data_dir(),
            invite=invite,
            ca_file=ca_file,
            language=language,
            share=share,
            opener=opener,
        )
        self._feed = Feed()
        self._started: Background | None = None

    @classmethod
    def recover(
        cls,
        server: Address,
        name: str,
        words: str,
        *,
        data_dir: Path | None = None,
        ca_file: Path | None = None,
        opener: KeyOpener | None = None,
    ) -> Client:
        """Make a client that adds this machine to an account by the twelve words; then `start` it.

        Raises:
            WordsInvalid: these are not twelve recovery words.
        """
        recovery = recovery_words.parse_words(words)
        client = cls(server, name, data_dir=data_dir, ca_file=ca_file, opener=opener)
        client._options = msgspec.structs.replace(client._options, recovery=recovery)
        return client

    @classmethod
    def reset(
        cls,
        server: Address,
        name: str,
        words: str,
        *,
        data_dir: Path | None = None,
        ca_file: Path | None = None,
        language: str = "en",
        opener: KeyOpener | None = None,
    ) -> Client:
        """Make a client that begins an account anew by the twelve words; then `start` it.

        Every other device is out of the account then, and it has new words, in `language`.

        Raises:
            WordsInvalid: these are not twelve recovery words.
        """
        recovery = recovery_words.parse_words(words)
        client = cls(
            server, name, data_dir=data_dir, ca_file=ca_file, language=language, opener=opener
        )
        client._options = msgspec.structs.replace(
            client._options, recovery=recovery, resetting=True
        )
        return client

    # --- life -------------------------------------------------------------------------------------

    @log_calls
    async def start(self) -> None:
        """Open the account if the server is known, and begin to connect in the background.

        A server that is down is no error: events tell.

        Raises:
            NameInvalid: the name cannot be one.
            AccountInUse: another process works with this account.
            JimError: a key, the store or the list of known servers cannot be used.
        """
        background = Background(self._options, self._feed)
        self.name = background.name
        await background.start()
        self._started = background

    async def aclose(self) -> None:
        """Say goodbye and close everything; what is queued stays queued."""
        if self._started is not None:
            await self._started.aclose()
        self._feed.close()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.aclose()

    # --- what there is to know ----------------------------------------------------------------

    def events(self) -> Subscription:
        """Give every event from now on; the iterator ends with the client."""
        return self._feed.subscribe()

    @property
    def state(self) -> LinkState:
        """How the client and its server stand."""
        return self._started.keeper.state if self._started else LinkState.CONNECTING

    @property
    def error(self) -> JimError | None:
        """Why there is no link at the moment, or never again."""
        return (self._started.fatal or self._started.keeper.error) if self._started else None

    @property
    def fingerprint(self) -> str | None:
        """The server's fingerprint to show, None before the first contact."""
        server_id = self._started.server_id if self._started else None
        return None if server_id is None else fingerprint(server_id)

    @property
    def limits(self) -> AnnouncedLimits:
        """What the server announced, or the usual limits before that."""
        return self._started.keeper.limits if self._started else Limits().announced()

    def retry_now(self) -> None:
        """Try to connect at once instead of waiting."""
        self._background.keeper.retry_now()

    @property
    def _background(self) -> Background:
        if self._started is None:
            raise RuntimeError("the client has not been started")
        return self._started

    # --- messages ---------------------------------------------------------------------------------

    async def send(self, to: str, text: str, *, key: str | None = None) -> Message:
        """Queue a message durably; at a first contact waits until there is an account.

        The same `key` gives the same message again, unless that one has definitely failed.

        Raises:
            NameInvalid: nobody can have this name.
            TextTooLong: with `size_bytes` and `limit_bytes`.
            BadRequest: the text is not Unicode.
            JimError: the client has stopped, or the store cannot be written.
        """
        draft = Draft(normalise(to), text, int(time.time() * 1000), key)
        self._check_text(text)
        courier = await self._background.courier()
        return await courier.send(draft)

    async def wait_stored(self, message_id: int, timeout_s: float | None = None) -> Message:
        """Wait until the server has decided about a message of ours.

        Raises:
            TimeoutError: it has not; the message stays queued.
            JimError: the client has stopped.
        """

        def settled(store: AccountStore) -> Message | None:
            message = store.message(message_id)
            return None if message and message.state is MessageState.QUEUED else message

        async with asyncio.timeout(timeout_s):
            return await self._until(settled, message_id)

    async def flush(self, timeout_s: float | None = None, *, everything: bool = False) -> bool:
        """Wait until the server has decided about all messages queued; tell whether it has.

        With `everything` also about what goes between devices and nobody sees.

        Raises:
            JimError: the client has stopped.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._until(
                    lambda store: store.is_settled(everything=everything) or None
                )
        except TimeoutError:
            return False

    async def cancel(self, message_id: int) -> bool:
        """Take a queued message back; False if it may be on its way already."""
        courier = await self._background.courier()
        return await courier.cancel(message_id)

    async def resend(self, message_id: int) -> Message:
        """Queue the text of a failed message again, as a new message.

        Raises:
            BadRequest: there is no such message, or it has not failed.
        """
        account = await self._background.account()
        message = await account.writer.read(lambda store: store.message(message_id))
        if message is None or message.state is not MessageState.FAILED:
            raise BadRequest("only a failed message can be sent again")
        return await self.send(message.peer, message.text)

    async def history(
        self, peer: str, *, before: int | None = None, limit: int = 50
    ) -> list[Message]:
        """Read a page of a conversation, oldest first: its end, or what precedes a message.

        A reserved word is nobody's name, so there is no conversation with it.

        Raises:
            NameInvalid: this is no name, whoever is meant.
        """
        try:
            name = normalise(peer)
        except NameInvalid as error:
            if error.reason == "reserved":
                return []
            raise
        account = await self._background.account()
        return await account.writer.read(lambda store: store.history(name, before, limit))

    async def received_after(self, message_id: int, limit: int) -> list[Message]:
        """Read a page of what others wrote, in the order in which it came here.

        Later messages have larger numbers, whatever their place in a conversation is.
        """
        account = await self._background.account()
        return await account.writer.read(lambda store: store.received_after(message_id, limit))

    async def highest_id(self) -> int:
        """Give the number of the newest message that is here, 0 if there is none."""
        account = await self._background.account()
        return (await account.writer.read(lambda store: store.standing())).highest_id

    async def conversations(self) -> list[Conversation]:
        """Read everybody there are messages with, the latest first."""
        account = await self._background.account()
        return await account.writer.read(lambda store: store.conversations())

    async def store_id(self) -> str:
        """Give what tells this store, and so its message ids, from another one in its place."""
        account = await self._background.account()
        return await account.writer.read(lambda store: store.store_id())

    async def presence(self, *, watch: bool = False) -> Contacts:
        """Ask who of those we talk to is online; with `watch` changes come as events from now on.

        Raises:
            ConnectFailed: there is no link.
        """
        link = self._background.keeper.link
        if link is None:
            raise ConnectFailed("not connected")
        return await self._background.presence.ask(link, watch=watch)

    async def find_device(self, code: LinkCode) -> Offer | None:
        """Give the new device that waits and shows this code; None if none does.

        Raises:
            JimError: the server's refusal, or there is no link.
        """
        return await approving.find(self._background, code)

    async def take_in(self, offer: Offer, code: LinkCode, shown_id: int) -> str:
        """Take a new device into the account, after the user has agreed; its history follows.

        Gives the digits that both devices show. `shown_id` is the last message of others that
        somebody has seen here: the new device shows what came after it.

        Raises:
            OfferGone: the device does not wait any more.
            JimError: the server's refusal, or the end of the link; it may have been added then.
        """
        added = await approving.take_in(self._background, offer, code, shown_id)
        return added.confirmation

    async def notice_shown(self, notice_id: int) -> None:
        """Tell no more of something that is missing: the user has seen it."""
        account = await self._background.account()
        await account.writer.write(lambda store: store.notice_shown(notice_id))

    async def words_shown(self) -> None:
        """Erase the recovery words: the user has seen them."""
        account = await self._background.account()
        await account.forget_words()

    # --- devices ----------------------------------------------------------------------------------

    async def devices(self, *, fresh: bool = False) -> list[Device]:
        """Read the devices of the account; with `fresh` the server is asked whether that is all.

        Without a link since this version is here none are known yet.

        Raises:
            ConnectFailed: with `fresh`: there is no link.
        """
        account = await self._background.account()
        found = await account.writer.read(lambda store: store.devices())
        if not fresh and (found or self._background.keeper.link is None):
            return found
        courier = await self._background.courier()
        await courier.own.look()
        return await account.writer.read(lambda store: store.devices())

    async def revoke(self, device: str) -> Device:
        """Take a device out of the account for good: it gets and sends nothing more.

        `device` is its id, the beginning of it, or its name. With this very device the client
        stops, and its history stays readable.

        Raises:
            DeviceUnknown: there is none, or there are several.
            ConnectFailed: there is no link.
            JimError: the server's refusal.
        """
        courier = await self._background.courier()
        found = find_device(await self.devices(fresh=True), device)
        await courier.own.revoke(found.id)
        return found

    async def rename(self, device: str, name: str) -> Device:
        """Call a device something else, on all devices of the account; nobody else is told.

        Raises:
            DeviceUnknown: there is none, or there are several.
            DeviceNameInvalid: this is no name.
        """
        courier, now_ms = await self._background.courier(), int(time.time() * 1000)
        found, called = find_device(await self.devices(), device), checked_name(name)
        account = await self._background.account()
        await account.writer.write(lambda store: store.rename_device(found.id, called, now_ms))
        courier.notice()
        return msgspec.structs.replace(found, name=called)

    # --- helpers ----------------------------------------------------------------------------------

    async def _until(
        self, look: Callable[[AccountStore], ResultT | None], message_id: int | None = None
    ) -> ResultT:
        """Look into the store now and after every change, until there is something."""
        while True:
            account = await self._background.account()
            changed = self._background.watch(message_id)
            if (found := await account.writer.read(look)) is not None:
                return found
            if self._background.fatal is not None:
                raise self._background.fatal
            await changed.wait()

    def _check_text(self, text: str) -> None:
        try:
            size_bytes = len(text.encode())
        except UnicodeEncodeError:
            raise BadRequest("the text is not Unicode") from None
        if size_bytes > self.limits.text_bytes:
            raise TextTooLong(size_bytes=size_bytes, limit_bytes=self.limits.text_bytes)
