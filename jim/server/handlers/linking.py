"""`link`, `offers`, `draft`, `proof`: the server relays between a new device and an old one.

It decides nothing: the old device recognises the new one by its code, and signs the link that
`extend` brings. What the server says of an account to somebody without a key of it is nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.core.names import lookup_key
from jim.crypto.handshake import check_offer
from jim.errors import BadRequest, LinkExpired, Revoked, Unexpected
from jim.protocol import messages as m
from jim.server.newcomer import Newcomer
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.core.linking import Offer
    from jim.core.model import AccountRecord
    from jim.server.active import Active
    from jim.server.login import Login
    from jim.server.node import Node

_OK: Final = 200
_ACCEPTED: Final = 202


async def offer(login: Login, message: m.LinkRequest) -> m.Linking | m.Linked:
    """Let a new device wait; one that is in the chain already is told so, which ends a lost try.

    The offer is in the book before the chain is read, so that no link falls between the two.

    Raises:
        NameInvalid: this cannot be a name.
        AuthFailed: the device does not hold its keys, or they are not good.
        Revoked: the device was in the account.
        TooOften: too many wait already.
    """
    name = lookup_key(message.name)
    check_offer(login.challenged(), name=message.name, device=message, sig=message.sig)
    login.newcomer = newcomer = Newcomer(login, name, message)
    account = await login.node.store.find_account(name)
    links = newcomer.links or _chain_with(account, message.login_key)
    if links is not None:
        return m.Linked(id=message.id, response=_OK, time=now_ms(), links=links)
    seconds = login.node.limits.linking_s
    login.connection.postpone(seconds, LinkExpired())
    newcomer.offer.is_open = True
    return m.Linking(id=message.id, response=_ACCEPTED, time=now_ms(), expires_s=int(seconds))


def offers(session: Active, message: m.Offers) -> m.OffersReply:
    """Show the new devices that wait for the session's account."""
    node = session.node
    waiting = node.offers.for_account(session.link.identity.name)
    now_s = node.loop.time()
    shown = [_shown(each, now_s) for each in waiting]
    return m.OffersReply(id=message.id, response=_OK, time=now_ms(), offers=shown)


async def draft(session: Active, message: m.Draft) -> m.ProofReply:
    """Pass a link to the new device that it adds, and its proof back.

    Raises:
        OfferGone: the device does not wait any more, or does not answer.
        BadRequest: the link is for another device or account.
    """
    name = session.link.identity.name
    found = session.node.offers.find(name, message.offer)
    if (message.link.acct, message.link.login_key) != (name, found.request.login_key):
        raise BadRequest("the link adds another device than the offered one")
    proof = await found.waiting.prove(message.link, message.approval)
    return m.ProofReply(id=message.id, response=_OK, time=now_ms(), proof=proof)


def proof(login: Login, message: m.Proof) -> None:
    """Take a new device's proof for the draft that it got.

    Raises:
        Unexpected: it does not wait.
    """
    if login.newcomer is None:
        raise Unexpected
    login.newcomer.answer(message.proof)


def announce(node: Node, account: AccountRecord) -> None:
    """Tell new devices which wait that the account's chain has them now; called after a commit."""
    login_keys = {device.login_key for device in account.devices if not device.revoked}
    node.offers.linked(account.name, login_keys, account.links)


def _chain_with(account: AccountRecord | None, login_key: bytes) -> list[m.Link] | None:
    """Give the account's chain if the device with this key is in it."""
    for device in account.devices if account else ():
        if device.login_key == login_key:
            if device.revoked:
                raise Revoked
            return account.links if account else None
    return None


def _shown(offer: Offer, now_s: float) -> m.Offer:
    request = offer.request
    return m.Offer(
        offer=offer.number,
        login_key=request.login_key,
        ed=request.ed,
        curve=request.curve,
        fallback=request.fallback,
        address=offer.address,
        age_s=int(now_s - offer.since_s),
        client=request.client,
    )
