"""Keep an account's own device chain up to date, and take devices out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.client.devices import default_name
from jim.client.errands import now_ms
from jim.client.link import protocol_error
from jim.crypto import links
from jim.crypto.transcript import link_hash
from jim.errors import ChainMoved, ConnectFailed, Revoked
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.client.accounts import Account
    from jim.client.errands import Errands

MAX_TRIES: Final = 4
"""So often a chain may grow between looking at it and adding a link; that is done by people."""


class OwnDevices:
    """The devices of one account, as its present connection shows them."""

    def __init__(self, account: Account, errands: Errands, notice: Callable[[], object]) -> None:
        """Take an open account, who asks the server, and what takes up what was queued."""
        self._account, self._errands, self._notice = account, errands, notice

    async def welcomed(self, welcome: m.Welcome) -> None:
        """See to it that the chain is here, for what we seal is sealed for all of it.

        A device that is new then tells the others what it is called.
        """
        name, writer = self._account.name, self._account.writer
        known = await writer.read(lambda store: store.chain_seq(name))
        if known < welcome.chain_seq:
            await self._errands.look_at_all([name])
            await self._account.pin_own()
        own_name, now = default_name(), now_ms()
        if await writer.write(lambda store: store.introduce(own_name, now)):
            self._notice()

    async def look(self) -> None:
        """Ask how the chain goes on.

        Raises:
            ConnectFailed: there was no answer.
        """
        if not await self._errands.look_at_all([self._account.name]):
            raise ConnectFailed("not connected")
        await self._account.pin_own()

    async def revoke(self, device: str) -> None:
        """Take a device out of the account for good; it may be this one.

        One that is out already is as it should be: the answer to an earlier try may have been lost.

        Raises:
            Revoked: this device is not in the account itself any more.
            ConnectFailed: there is no link, or no end to the changes of the chain.
            JimError: the server's refusal.
        """
        for _ in range(MAX_TRIES):
            link = await self._revocation(device)
            if link is None:
                return
            try:
                await self._extend(link)
            except ChainMoved:
                await self.look()
                continue
            except Revoked:
                if device != self._account.record.device:
                    raise
                return  # the answer was: the server hangs up on a device that is out
            await self._account.learn_own([link])
            return
        raise ConnectFailed("the device chain has changed all the time", reason="protocol")

    async def _revocation(self, device: str) -> m.Link | None:
        """Make the link that takes a device out, None if it is out."""
        own = await self._account.writer.read(lambda store: store.own_chain())
        if own is None or own.state is None:
            raise ConnectFailed("the own device chain is not known yet")
        if device not in own.state.devices:
            return None
        if self._account.record.device not in own.state.devices:
            raise Revoked
        time_ms = max(now_ms(), own.links[-1].time + 1)
        return links.make_revoke(own.state, device, self._account.key, time_ms)

    async def _extend(self, link: m.Link) -> None:
        if self._errands.link is None:
            raise ConnectFailed("not connected")
        reply = await self._errands.link.request(m.Extend(id="", link=link))
        if not isinstance(reply, m.Extended) or reply.chain_head != link_hash(link):
            raise protocol_error("the server does not say that the device chain has grown")
