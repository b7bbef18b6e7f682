"""The part of `Client` that is about whom to believe: numbers, emoji, changed keys, plain texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from jim.client.errands import now_ms
from jim.core.names import normalise
from jim.errors import AccountInUse, ChainInvalid, ConnectFailed, OwnAccount

if TYPE_CHECKING:
    from jim.client.background import Background
    from jim.client.events import ComparisonChanged, ContactInfo, Message, MissingNotice


class Trusting(ABC):
    """What a client knows and lets its user decide about others.

    Every method raises `NameInvalid` for what cannot be a name, and `JimError` when the client has
    stopped or its store cannot be used.
    """

    @property
    @abstractmethod
    def _background(self) -> Background:
        """Give what works behind the client, once it has been started."""

    async def contact(self, name: str) -> ContactInfo:
        """Read what is known of somebody here; asks nobody."""
        account = await self._background.account()
        known = normalise(name)
        return await account.writer.read(lambda store: store.contact_info(known))

    async def notices(self, peer: str) -> list[MissingNotice]:
        """Read every notice that belongs to a conversation, shown or not, in their order."""
        account = await self._background.account()
        known = normalise(peer)
        return await account.writer.read(lambda store: store.notices_of(known))

    async def safety_number(self, name: str) -> str:
        """Give the 60 digits that both people see, in twelve groups, if nobody is in between.

        Raises:
            OwnAccount: there is nobody to compare with.
            RecipientUnknown: nobody has this name.
            ConnectFailed: their keys are not known here, and there is no link to ask for them.
            ChainInvalid: the server shows no keys that could be theirs.
        """
        known = await self._look_at(name)
        account = await self._background.account()
        number = await account.writer.read(lambda store: store.safety_number(known))
        if number is None:
            raise ChainInvalid("the device chain of one of the two is not here")
        return number

    async def known_number(self, name: str) -> str | None:
        """Read the 60 digits with the keys that are known here, None without; asks nobody.

        Raises:
            OwnAccount: there is nobody to compare with.
        """
        account = await self._background.account()
        known = normalise(name)
        return await account.writer.read(lambda store: store.safety_number(known))

    async def mark_verified(self, name: str, number: str) -> bool:
        """Note that the user has compared this number; False if it has changed meanwhile.

        Raises:
            OwnAccount: there is nobody to compare with.
        """
        account = await self._background.account()
        known = normalise(name)
        return await account.writer.write(lambda store: store.mark_verified(known, number))

    async def accept_changed(self, name: str) -> bool:
        """Go on with the new keys of somebody who was verified; False if there are none.

        They count as met for the first time. What failed meanwhile can be sent with `resend`.
        """
        account = await self._background.account()
        known = normalise(name)
        return await account.writer.write(lambda store: store.accept_changed(known))

    async def forget_keys(self, name: str) -> bool:
        """Drop what this device knows of somebody's keys; False if it knows nothing.

        For an account that really is another one now, which the chain of the old one can never
        become. Whatever the server shows next is believed, as at a first contact.

        Raises:
            OwnAccount: the own keys are not dropped.
        """
        account = await self._background.account()
        known, time_ms = normalise(name), now_ms()
        return await account.writer.write(lambda store: store.forget_keys(known, time_ms))

    async def allow_plain(self, name: str, *, allowed: bool) -> list[Message]:
        """Allow or forbid unencrypted messages with somebody; gives those that were withheld.

        From then on the history has their texts.

        Raises:
            OwnAccount: the own devices are never sent anything that is not sealed.
        """
        account = await self._background.account()
        known = normalise(name)
        return await account.writer.write(lambda store: store.allow_plain(known, allowed=allowed))

    # --- comparing emoji --------------------------------------------------------------------------

    async def compare_emoji(self, name: str) -> None:
        """Ask somebody to compare emoji, or agree to what they ask; `ComparisonChanged` tells.

        Raises:
            OwnAccount: there is nobody to compare with.
            RecipientUnknown: nobody has this name.
            ConnectFailed: there is no link.
            AccountInUse: another process of this machine holds the account.
            VerificationFailed: with `reason` no_keys: none of their devices can.
        """
        courier = await self._background.courier()
        account = await self._background.account()
        if not account.is_owner:
            raise AccountInUse
        if courier.errands.link is None:
            raise ConnectFailed("not connected")
        known = await self._look_at(name)
        parties = await account.writer.read(lambda store: store.parties(known))
        if parties is None:
            raise ChainInvalid("the device chain of one of the two is not here")
        courier.comparing.start(known, parties)

    async def answer_emoji(self, name: str, *, same: bool) -> bool:
        """Say whether the emoji are the same, or with False decline or give up.

        False if there is nothing to answer.
        """
        courier = await self._background.courier()
        return courier.comparing.answer(normalise(name), same=same)

    async def comparison(self, name: str) -> ComparisonChanged | None:
        """Give how far comparing emoji with somebody has come, None if nothing is going on."""
        courier = await self._background.courier()
        return courier.comparing.stage(normalise(name))

    async def _look_at(self, name: str) -> str:
        """Learn the present keys of somebody if that can be; gives the name as it is kept."""
        known = normalise(name)
        account = await self._background.account()
        if known == account.name:
            raise OwnAccount
        courier = await self._background.courier()
        answered = await courier.errands.look_at(known)
        seq = await account.writer.read(lambda store: store.chain_seq(known))
        if seq < 0:
            raise ChainInvalid if answered else ConnectFailed("not connected")
        return known
