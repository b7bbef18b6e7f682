"""`register`: the first claim to a name owns it. Verification comes before any write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from jim.core.model import AccountRecord, Registration
from jim.core.names import claim
from jim.crypto.handshake import check_register
from jim.crypto.invites import token_hash
from jim.errors import (
    AuthFailed,
    BadRequest,
    ChainInvalid,
    InviteRequired,
    RegistrationClosed,
)
from jim.server.handlers.chain import checked_fallback
from jim.server.handlers.login import CREATED, usable_device, welcome
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.protocol import messages as m
    from jim.server.login import Login


async def register(login: Login, message: m.Register) -> m.Welcome | None:
    """Create an account with its first device and log it in.

    The same genesis again is the retry of a lost answer: it costs neither an invite nor a place
    among the registrations of the address, and works whatever the policy has become.

    Raises:
        NameInvalid: this cannot be a name.
        BadRequest: the genesis link or the fallback key is not good.
        AuthFailed: the proof of this connection is not, or the device is revoked since.
        RegistrationClosed: the policy takes nobody.
        InviteRequired: the policy wants an invite and none came.
        InviteInvalid: the invite is unknown, used up or expired.
        NameTaken: by somebody else, or too alike.
        TooManyRegistrations: from this address.
    """
    wanted = claim(message.name)
    try:
        state = check_register(
            login.challenged(), name=wanted.name, genesis=message.genesis, sig=message.sig
        )
    except ChainInvalid as error:
        raise BadRequest(f"the genesis link is not valid: {error}") from None
    fallback = checked_fallback(message.genesis, message.fallback)
    account = await login.node.store.find_account(wanted.name)
    if account is None or account.links[0] != message.genesis:
        proposal = Registration(
            name=wanted.name,
            skeleton=wanted.skeleton,
            genesis=message.genesis,
            head=state.head,
            invite_hash=_admit(login, message),
            fallback=fallback,
        )
        account = await _create(login, proposal)
    device = usable_device(account, message.genesis.device)
    if device is None:
        raise AuthFailed
    return await welcome(login, message.id, account, device, CREATED)


def _admit(login: Login, message: m.Register) -> bytes | None:
    """Apply policy and limits; gives the hash of the invite to consume."""
    node = login.node
    node.admission.check_registration(login.connection.visitor.ticket, node.loop.time())
    policy = node.settings.registration
    if policy == "closed":
        raise RegistrationClosed
    if policy == "open":
        return None
    if message.invite is UNSET:
        raise InviteRequired
    return token_hash(message.invite)


async def _create(login: Login, proposal: Registration) -> AccountRecord:
    node = login.node
    account = await node.store.register(proposal, now_ms())
    node.admission.registered(login.connection.visitor.ticket, node.loop.time())
    return account
