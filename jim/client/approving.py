"""A device of the account takes a new one in, and begins to hand its history over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jim.client import linking
from jim.crypto.keys import device_id
from jim.errors import ChainMoved, ConnectFailed

if TYPE_CHECKING:
    from jim.client.background import Background
    from jim.client.link import Link
    from jim.client.linking import Added
    from jim.crypto.link_code import LinkCode
    from jim.protocol.messages import Offer

MAX_MOVED: Final = 3
"""So often the chain may grow while a link is drawn up: more than an account's other devices do."""


async def find(background: Background, code: LinkCode) -> Offer | None:
    """Give the device that waits and shows this code; None if none does.

    Raises:
        JimError: the server's refusal, or there is no connection.
    """
    server_id = background.server_id
    if server_id is None:
        raise ConnectFailed("not connected")
    return await linking.find_offer(_link(background), server_id, background.name, code)


async def take_in(background: Background, offer: Offer, code: LinkCode, shown_id: int) -> Added:
    """Add a device to the account and hand the history over to it, after the user has agreed.

    That it is to be handed over is durable before the device is added: it goes on by itself,
    whatever happens in between. `shown_id` is the last message of others that somebody has seen.

    Raises:
        OfferGone: the device does not wait any more.
        JimError: the server's refusal, or the end of the connection; perhaps it was added then.
    """
    account, courier = await background.account(), await background.courier()
    await courier.hand_over(device_id(offer.login_key), shown_id)
    for _ in range(MAX_MOVED):
        await courier.own.look()
        own = await account.writer.read(lambda store: store.own_chain())
        if own is None or own.state is None:
            raise ConnectFailed("the own device chain is not known yet")
        time_ms = max(int(time.time() * 1000), own.links[-1].time + 1)
        try:
            added = await linking.take_in(
                _link(background), offer, code, own.state, account.key, time_ms=time_ms
            )
        except ChainMoved:
            continue
        await courier.taken_in(added.link)
        return added
    raise ConnectFailed("the device chain has changed all the time", reason="protocol")


def _link(background: Background) -> Link:
    link = background.keeper.link
    if link is None:
        raise ConnectFailed("not connected")
    return link
