"""`auth`: a known device proves its key. Every failure looks the same and costs the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from jim.core.names import lookup_key
from jim.crypto.handshake import check_auth
from jim.crypto.transcript import link_hash
from jim.errors import AuthFailed, NameInvalid, Revoked
from jim.protocol import messages as m
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.core.model import AccountRecord, DeviceRecord
    from jim.core.ports import Store
    from jim.server.login import Login

OK: Final = 200
CREATED: Final = 201

_NOBODY: Final = ""
"""A key that no account has: names are never empty."""


async def auth(login: Login, message: m.Auth) -> m.Welcome | None:
    """Log a device in.

    Raises:
        AuthFailed: no such name, no such device, a wrong signature, or a head that was never one
            of the account's chain.
        Revoked: the device has proven itself, and was taken out of the account.
    """
    account = await find_account(login.node.store, message.name)
    device = _device(account, message.device)
    check_auth(
        login.challenged(),
        name=message.name,
        device=message.device,
        head=message.head,
        counter=message.counter,
        sig=message.sig,
        login_key=device.login_key if device else None,
        decoys=login.node.decoys,
    )
    if account is None or device is None or not _knows(account, message.head):
        raise AuthFailed
    if device.revoked:
        raise Revoked
    return await welcome(login, message.id, account, device, OK)


async def welcome(
    login: Login,
    request_id: m.RequestId,
    account: AccountRecord,
    device: DeviceRecord,
    response: int,
) -> m.Welcome | None:
    """Start the session of a device that has proven itself; None if the client has left."""
    standing = await login.enter(account, device)
    if standing is None:
        return None
    last = account.links[-1]
    return m.Welcome(
        id=request_id,
        response=response,
        time=now_ms(),
        name=account.name,
        device=device.device,
        last_n=standing.last_n,
        position=standing.position,
        acked=standing.acked,
        epoch=login.node.store.epoch,
        chain_seq=last.seq,
        chain_head=link_hash(last),
        one_time_keys=standing.one_time_keys,
        last_mark=standing.last_mark or UNSET,
    )


async def find_account(store: Store, name: str) -> AccountRecord | None:
    """Look an account up by a name as typed; what cannot be a name is looked up in vain."""
    try:
        key = lookup_key(name)
    except NameInvalid:
        key = _NOBODY
    return await store.find_account(key)


def usable_device(account: AccountRecord | None, device: str) -> DeviceRecord | None:
    """Give the account's device of that id unless it is revoked."""
    found = _device(account, device)
    return found if found is not None and not found.revoked else None


def _device(account: AccountRecord | None, device: str) -> DeviceRecord | None:
    for record in account.devices if account else ():
        if record.device == device:
            return record
    return None


def _knows(account: AccountRecord, head: bytes) -> bool:
    """Tell whether the client's head is one of the chain's, the last or an earlier one.

    An earlier one is in order: the client learns the rest. That a server shows an older chain than
    the client has seen is for the client to find.
    """
    return any(link_hash(link) == head for link in account.links)
