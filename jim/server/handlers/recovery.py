"""`recover` and `enroll`: with the recovery words, a new device joins an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.core.model import AccountRecord, Enrolment
from jim.crypto.chain import verify_chain
from jim.crypto.handshake import check_enroll, check_recover
from jim.errors import AuthFailed, BadRequest, ChainInvalid
from jim.protocol import messages as m
from jim.protocol.messages import GENESIS, RESET
from jim.server.handlers.chain import announce, checked_fallback, end_revoked
from jim.server.handlers.login import CREATED, OK, find_account, usable_device, welcome
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.crypto.chain import ChainState
    from jim.server.login import Login


async def recover(login: Login, message: m.Recover) -> m.Chain:
    """Show the device chain to whoever proves the recovery key.

    Raises:
        AuthFailed: no such name, or a wrong signature.
    """
    account = await find_account(login.node.store, message.name)
    check_recover(
        login.challenged(),
        name=message.name,
        sig=message.sig,
        recovery_key=_recovery_key(account) if account else None,
        decoys=login.node.decoys,
    )
    if account is None:
        raise AuthFailed
    login.recovering = account
    return m.Chain(id=message.id, response=OK, time=now_ms(), links=account.links)


async def enroll(login: Login, message: m.Enroll) -> m.Welcome | None:
    """Add a new device, or begin anew with it alone, and log it in.

    The same link again is the retry of a lost answer. After a reset the sessions of all other
    devices are over.

    Raises:
        AuthFailed: the proof of this connection is not good, another account is meant, or the chain
            has grown since `recover`.
        BadRequest: the link does not continue the chain, or the fallback key is not good.
        TooManyDevices: the account has as many as allowed.
    """
    account = login.recovering
    if account is None or message.link.acct != account.name:
        raise AuthFailed
    node = login.node
    state = _checked(login, account, message)
    fallback = checked_fallback(message.link, message.fallback)
    devices = node.limits.devices
    enrolment = Enrolment(account.account_id, message.link, state.head, devices, fallback)
    # By the later of both clocks, as in `jim.core.numbering`: this begins the new device's waiting.
    account = await node.store.enrol(enrolment, max(now_ms(), node.steady.now_ms()))
    device = usable_device(account, message.link.device)
    if device is None:
        raise AuthFailed
    await announce(node, account, device.device_id)
    await end_revoked(node, account)
    return await welcome(login, message.id, account, device, CREATED)


def _checked(login: Login, account: AccountRecord, message: m.Enroll) -> ChainState:
    """Verify the link against the chain before it (it may be in the chain already)."""
    links = account.links
    if links[-1] == message.link:
        links = links[:-1]
    try:
        state = verify_chain(links, account.name)
        return check_enroll(login.challenged(), state=state, link=message.link, sig=message.sig)
    except ChainInvalid as error:
        raise BadRequest(f"the link is not valid: {error}") from None


def _recovery_key(account: AccountRecord) -> bytes:
    """Give R as the chain's last genesis or reset link set it."""
    return next(
        link.recovery_key for link in reversed(account.links) if link.op in {GENESIS, RESET}
    )
