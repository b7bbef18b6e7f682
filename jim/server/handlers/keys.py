"""`keys` and `claim`: the keys with which sessions are begun, brought and taken."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from jim.errors import BadRequest, RecipientUnknown, TooOften
from jim.protocol import messages as m
from jim.server.handlers.login import find_account
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.core.model import DeviceRecord
    from jim.server.active import Active

_OK: Final = 200
_MS: Final = 1000


async def keep(session: Active, message: m.Keys) -> m.KeysReply:
    """Keep new keys of this device. Who claims them verifies them: nobody else has to.

    Raises:
        BadRequest: the device has no encryption keys that could have signed them.
    """
    store, me = session.node.store, session.link.identity
    account = await find_account(store, me.name)
    added = [link for link in account.links if link.device == me.device] if account else []
    if not added or not added[0].ed:
        raise BadRequest("this device has no encryption keys")
    fallback = None if message.fallback is UNSET else message.fallback
    count = await store.add_keys(me.device_id, message.one_time, fallback)
    return m.KeysReply(id=message.id, response=_OK, time=now_ms(), one_time_keys=count)


async def claim(session: Active, message: m.Claim) -> m.Claimed:
    """Take a key of each of somebody's devices; ask one of them that has few left for more.

    Raises:
        RecipientUnknown: there is nobody of that name.
        TooOften: this account has claimed from one of the devices too often; nothing is taken.
    """
    node = session.node
    account = await find_account(node.store, message.name)
    if account is None:
        raise RecipientUnknown
    wanted = set(message.devices)
    devices = [each for each in account.devices if each.device in wanted and not each.revoked]
    _count(session, devices)
    names = [each.device for each in devices]
    keys = await node.store.claim_keys(account.account_id, names)
    for device in devices:
        online = node.hub.outlet(account.account_id, device.device_id) is not None
        if online and device.device in keys:
            left = (await node.store.standing(device.device_id)).one_time_keys
            node.hub.keys_left(account.account_id, device.device_id, left)
    return m.Claimed(id=message.id, response=_OK, time=now_ms(), keys=keys)


def _count(session: Active, devices: list[DeviceRecord]) -> None:
    node = session.node
    wait_s = node.claims.take(
        session.link.identity.account_id,
        [each.device_id for each in devices],
        node.limits.claims_per_minute,
        node.loop.time(),
    )
    if wait_s:
        raise TooOften(retry_after_ms=math.ceil(wait_s * _MS))
