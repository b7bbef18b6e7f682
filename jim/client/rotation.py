"""Replace this device by a new one, where its old keys must not be used any more.

A store that was put back to an older copy would move ratchets a second time, and a device of an
earlier version has no keys at all. Both log in as before, and then, before anything is sealed or
fetched: a new key and what it encrypts with become durable beside the old ones, the old device adds
the new one to the account, the new one takes the old one out, and the store becomes the new one.
Each step is durable before the next begins, and doing one twice changes nothing, so that whoever
is interrupted goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING, Final

from jim.client.link import protocol_error
from jim.client.rotated import NEVER, Rotation
from jim.crypto import chain, links
from jim.crypto.keys import device_id
from jim.errors import ChainMoved
from jim.protocol import messages as m

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jim.client.accounts import Account
    from jim.client.courier import Courier
    from jim.client.link import Link
    from jim.crypto.chain import ChainState
    from jim.crypto.keys import EncryptionKeys

logger = logging.getLogger(__name__)

KEYLESS: Final = "keyless"
"""Why a device is replaced that an earlier version has made: nothing can be sealed for it."""

TRIES: Final = 5
"""So often another device may be quicker with a link: people do not add devices in bursts."""

_ID: Final = "rotate"


async def is_due(account: Account, courier: Courier, welcome: m.Welcome) -> bool:
    """Tell whether the device that has just logged in has to be replaced; noted durably."""
    noted = await account.writer.read(lambda store: store.rotation())
    if noted is not None:
        return True
    keys, _ = await account.public_keys()
    why = await courier.strayed(welcome) or ("" if keys.ed else KEYLESS)
    if why:
        logger.warning("this device has to be replaced by a new one: %s", why)
        await account.writer.write(lambda store: store.keep_rotation(Rotation(why=why)))
    return bool(why)


async def rotate(link: Link, account: Account, courier: Courier, welcome: m.Welcome) -> None:
    """Put a new device into the place of the one that has just logged in on this connection.

    Raises:
        JimError: the server's refusal, or the end of the connection; it goes on with the next one.
    """
    key, vault = await account.next_device()
    if _is_spent(device_id(key.public), vault.keys, (await _chain(link, account))[1]):
        key, vault = await account.next_device(anew=True)
    old = account.record.device

    def adding(state: ChainState) -> m.Extend | None:
        if device_id(key.public) in state.devices:
            return None
        added = links.make_add(state, key, account.key, _now_ms(), vault.keys)
        return m.Extend(id=_ID, link=added, fallback=vault.fallback)

    def revoking(state: ChainState) -> m.Extend | None:
        if old not in state.devices:
            return None
        return m.Extend(id=_ID, link=links.make_revoke(state, old, key, _now_ms()))

    await _extend(link, account, adding)
    # Whoever else has the old key was shown out by this login, and sends nothing any more once this
    # very connection has revoked it: what the welcome said is the last word about its messages.
    await account.note_rotation(welcome.last_n, welcome.last_mark or "")
    await finish(account, courier, await _extend(link, account, revoking))


async def _extend(
    link: Link, account: Account, make: Callable[[ChainState], m.Extend | None]
) -> list[m.Link]:
    """Append a link unless it is there already, whoever else does so meanwhile; give the chain."""
    for _ in range(TRIES):
        shown, state = await _chain(link, account)
        if (wanted := make(state)) is None:
            return shown
        with contextlib.suppress(ChainMoved):
            await link.ask(wanted)
            return [*shown, wanted.link]
    raise ChainMoved


async def _chain(link: Link, account: Account) -> tuple[list[m.Link], ChainState]:
    """Ask for the account's chain, and verify it against what we know."""
    answer = await link.ask(m.ChainRequest(id=_ID))
    if not isinstance(answer, m.Chain):
        raise protocol_error("the server does not show the device chain")
    state = chain.verify_chain(answer.links, account.name)
    chain.check_continues(answer.links, account.record.chain_seq, account.record.chain_head)
    return answer.links, state


def _is_spent(device: str, keys: EncryptionKeys, state: ChainState) -> bool:
    """Tell whether a new device can be one no more: somebody took it out, or it has other keys.

    Somebody may take it for a stranger's while it waits, and a store may be put back once more
    behind the point at which it became known what the device encrypts with.
    """
    return device in state.revoked or (device in state.devices and state.keys.get(device) != keys)


async def finish(account: Account, courier: Courier, shown: Sequence[m.Link] = ()) -> bool:
    """Become the new device if the old one may be out already; tell whether we are it now.

    `shown` is the chain, if it is at hand.
    """
    noted = await account.writer.read(lambda store: store.rotation())
    if noted is None or noted.last_n == NEVER:
        return False
    await courier.calm()
    settled = courier.settle(noted.last_n, noted.last_mark)
    decided = await account.become_next(settled, shown)
    await courier.load()
    courier.decided(decided)
    logger.warning("this device is %s now", account.record.device)
    return True


def _now_ms() -> int:
    return int(time.time() * 1000)
