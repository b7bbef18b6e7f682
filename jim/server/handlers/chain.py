"""`chain` and `extend`: the device chain of anybody, and one link more of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from jim.core.model import Enrolment
from jim.core.ports import ChainGrown
from jim.crypto import chain
from jim.crypto.device_keys import verify_key
from jim.crypto.transcript import link_hash
from jim.errors import AuthFailed, BadRequest, ChainInvalid, ChainMoved, RecipientUnknown, Revoked
from jim.protocol import messages as m
from jim.server.handlers import linking
from jim.server.handlers.login import find_account
from jim.server.node import now_ms

if TYPE_CHECKING:
    from msgspec import UnsetType

    from jim.core.model import AccountRecord
    from jim.server.active import Active
    from jim.server.node import Node

_OK: Final = 200


async def links(session: Active, message: m.ChainRequest) -> m.Chain:
    """Give the links after a number, or all of them; none if there are none after it.

    Raises:
        RecipientUnknown: there is nobody of that name.
    """
    name = session.link.identity.name if message.name is UNSET else message.name
    account = await find_account(session.node.store, name)
    if account is None:
        raise RecipientUnknown
    found = account.links
    if message.after is not UNSET:
        found = [link for link in found if link.seq > message.after]
    return m.Chain(id=message.id, response=_OK, time=now_ms(), links=found)


async def extend(session: Active, message: m.Extend) -> m.Extended | None:
    """Append a link to the own chain, and tell everybody concerned.

    The link that is the chain's end already is the retry of a lost answer.

    Raises:
        BadRequest: the link does not do what it may, or its fallback key is missing or not good.
        ChainMoved: the chain has grown meanwhile; with `expected`, its next number.
        TooManyDevices: the account has as many as allowed.
    """
    node, link, me = session.node, message.link, session.link.identity
    account = await find_account(node.store, me.name)
    if account is None:
        raise RecipientUnknown
    if account.links[-1] != link:
        fallback = checked_fallback(link, message.fallback)
        head = _checked(account, link)
        extension = Enrolment(me.account_id, link, head, node.limits.devices, fallback)
        # By the later of both clocks, as with `enroll`: this begins the new device's waiting.
        account = await node.store.extend(extension, max(now_ms(), node.steady.now_ms()))
        await announce(node, account, me.device_id)
        linking.announce(node, account)
    # Who takes its own device out hears that it was done before it is shown out.
    session.connection.reply(
        m.Extended(
            id=message.id,
            response=_OK,
            time=now_ms(),
            chain_seq=link.seq,
            chain_head=link_hash(link),
        )
    )
    await end_revoked(node, account)
    return None


def _checked(account: AccountRecord, link: m.Link) -> bytes:
    """Verify a link against the chain that it has to continue; give the new head."""
    last = account.links[-1]
    if link.op not in {m.ADD, m.REVOKE}:
        raise BadRequest("a chain is extended by an add or a revoke link")
    if link.seq != last.seq + 1 or link.prev != link_hash(last):
        raise ChainMoved(expected=last.seq + 1)
    try:
        return chain.extend(chain.verify_chain(account.links, account.name), link).head
    except ChainInvalid as error:
        raise BadRequest(f"the link is not valid: {error}") from None


def checked_fallback(link: m.Link, fallback: m.PublicKey | UnsetType) -> m.PublicKey | None:
    """Demand a fallback key with a link that has encryption keys, and with no other.

    Raises:
        BadRequest: it is missing or too much, or the device has not signed it.
    """
    if bool(link.ed) != (fallback is not UNSET):
        raise BadRequest("a device with encryption keys has a fallback key, and no other has one")
    if fallback is UNSET:
        return None
    try:
        verify_key(fallback, link.device, link.ed)
    except AuthFailed:
        raise BadRequest("the device has not signed its fallback key") from None
    return fallback


async def announce(node: Node, account: AccountRecord, by_device: int) -> None:
    """Tell the account's other devices and its contacts that its chain has grown.

    Contacts are those who were written to, and those who wrote.
    """
    known = await node.store.visible_to(account.account_id)
    known += await node.store.visible(account.account_id)
    news = ChainGrown(account.name, account.links[-1].seq, by_device)
    node.hub.chain_grown(account.account_id, news, {each.account_id for each in known})


async def end_revoked(node: Node, account: AccountRecord) -> None:
    """End the sessions of the account's devices that are revoked.

    One that is just logging in is waited for: it may have asked before the link was stored.
    """
    for device in account.devices:
        if device.revoked:
            async with node.locks.held(device.device_id):
                node.hub.evict(account.account_id, device.device_id, Revoked())
