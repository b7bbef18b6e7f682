"""Verify an account's device chain, link by link; `jim.crypto.links` makes the links.

A chain says which devices speak for a name, and who allowed them: the genesis link is signed by the
first device, each further one by a device that is authorised at that point or by the recovery key
R. R outranks devices: only R may reset the chain, and no device can change R. This module knows no
limits, no clock and no storage. A link's time is what its signer said; nothing here depends on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jim.crypto import transcript
from jim.crypto.keys import (
    KEY_BYTES,
    SIGNATURE_BYTES,
    EncryptionKeys,
    device_id,
    is_public_key,
    verify,
)
from jim.errors import AuthFailed, ChainInvalid
from jim.protocol.messages import ADD, GENESIS, RESET, REVOKE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jim.protocol.messages import Link

FIRST_SEQ: Final = 0
"""The genesis link's number."""

NO_HEAD: Final = bytes(32)
"""`prev` of the genesis link."""

NO_PROOF: Final = bytes(SIGNATURE_BYTES)
"""`proof` of a revoke link: it adds no key, so nobody has to hold one."""


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a verified chain says.

    Attributes:
        name: the account.
        head: hash of the last link, 32 bytes.
        seq: number of the last link.
        devices: authorised device id to login key.
        recovery_key: public key R.
        revoked: ids of devices that were authorised once and never will be again.
        keys: authorised device id to its encryption keys, of those that have some.
        root: hash of the last link that began anew (genesis or reset), 32 bytes: people compare it.
    """

    name: str
    head: bytes
    seq: int
    devices: Mapping[str, bytes]
    recovery_key: bytes
    revoked: frozenset[str] = field(default_factory=frozenset)
    keys: Mapping[str, EncryptionKeys] = field(default_factory=lambda: MappingProxyType({}))
    root: bytes = NO_HEAD


def verify_chain(links: Sequence[Link], name: str) -> ChainState:
    """Verify a whole chain of the account `name`, oldest link first.

    Raises:
        ChainInvalid: with `reason` (see `extend`, and: empty) and `seq`, the place of the bad link.
    """
    if not links:
        raise _invalid("empty", FIRST_SEQ, "the chain has no links")
    state = _begin(links[0], name)
    return extend_all(state, links[1:])


def verify_update(links: Sequence[Link], name: str, pinned: ChainState) -> ChainState:
    """Verify a whole chain that has to continue the one seen before.

    Raises:
        ChainInvalid: as `verify_chain`, and with `reason` rolled_back (shorter than seen) or forked
            (another history than seen).
    """
    state = verify_chain(links, name)
    check_continues(links, pinned.seq, pinned.head)
    return state


def added_by(links: Sequence[Link], device: str) -> str:
    """Give the device that has signed the add of another one of a verified chain.

    It is "" if the recovery key has, or the account began with it, or there is no such device.
    """
    began = {link.device: link for link in links if link.op != REVOKE}
    link = began.pop(device, None)
    if link is None or link.op != ADD:
        return ""
    message = transcript.link_signature(link)
    others = began.items()
    return next((each for each, by in others if _has_signed(by.login_key, link, message)), "")


def is_let_in(links: Sequence[Link], device: str) -> bool:
    """Tell whether devices alone have let a device of a verified chain in, since the first one.

    Whoever has the recovery words can add a device; nobody who had one was asked then.
    """
    while device and device != links[0].device:
        device = added_by(links, device)
    return bool(device)


def check_continues(links: Sequence[Link], seq: int, head: bytes) -> None:
    """Demand that a verified chain contains the link that was its end before.

    A link's hash stands for every link before it, so that its number and hash are all that has to
    be remembered of a chain.

    Raises:
        ChainInvalid: with `reason` rolled_back or forked, see `verify_update`.
    """
    if links[-1].seq < seq:
        raise _invalid("rolled_back", links[-1].seq, f"the chain ended at link {seq} before")
    if transcript.link_hash(links[seq - FIRST_SEQ]) != head:
        raise _invalid("forked", seq, "the chain has another history than before")


def extend_all(state: ChainState, links: Iterable[Link]) -> ChainState:
    """Apply `extend` to each link.

    Raises:
        ChainInvalid: as `extend`.
    """
    for link in links:
        state = extend(state, link)
    return state


def extend(state: ChainState, link: Link) -> ChainState:
    """Verify one further link and give the new state; the old one stays valid.

    Raises:
        ChainInvalid: with `seq`, and `reason` account, seq, prev, op, key (bad, or in the wrong
            place), device (id and key do not belong together, or it is known already, revoked, not
            authorised), proof or signer.
    """
    _check_place(link, state.name, state.seq + 1, state.head)
    rule = RULES.get(link.op)
    if rule is None:
        raise _invalid("op", link.seq, f"{link.op!r} is no operation at this place")
    _check_keys(link)
    return rule(state, link)


def has_replaced(links: Sequence[Link], state: ChainState, former: str, device: str) -> bool:
    """Tell whether a device of a verified chain has taken the place of a former one by its consent.

    That is so if the former one has signed the link that adds the other, and is out by now; who
    adds a device with the recovery key, or begins anew, can say that of no device.
    """
    is_out = former in state.revoked and device in state.devices
    return is_out and added_by(links, device) == former


def extend_by_recovery(state: ChainState, link: Link) -> ChainState:
    """Verify one further link that adds a device, alone or beside others, and that R has signed.

    Raises:
        ChainInvalid: as `extend`; an operation other than add and reset is op, another signer (a
            device) signer.
    """
    if link.op not in {ADD, RESET}:
        raise _invalid("op", link.seq, "recovery adds a device or resets the chain")
    after = extend(state, link)
    _check_signer(link, [state.recovery_key])
    return after


def _begin(link: Link, name: str) -> ChainState:
    _check_place(link, name, FIRST_SEQ, NO_HEAD)
    if link.op != GENESIS:
        raise _invalid("op", link.seq, "a chain begins with its genesis link")
    _check_keys(link)
    _check_proof(link)
    _check_signer(link, [link.login_key])
    start = ChainState(name, NO_HEAD, link.seq - 1, MappingProxyType({}), link.recovery_key)
    return _restarted(start, link, frozenset())


def _add(state: ChainState, link: Link) -> ChainState:
    _check_newcomer(state, link)
    _check_proof(link)
    _check_signer(link, [state.recovery_key, *state.devices.values()])
    devices = {**state.devices, link.device: link.login_key}
    keys = {**state.keys, **_keys_of(link)}
    return _advanced(state, link, devices, keys, state.revoked)


def _revoke(state: ChainState, link: Link) -> ChainState:
    if state.devices.get(link.device) != link.login_key:
        raise _invalid("device", link.seq, "the device to revoke is not authorised")
    if link.proof != NO_PROOF:
        raise _invalid("proof", link.seq, "a revocation carries no proof")
    _check_signer(link, [state.recovery_key, *state.devices.values()])
    devices = {device: key for device, key in state.devices.items() if device != link.device}
    keys = {device: pair for device, pair in state.keys.items() if device != link.device}
    return _advanced(state, link, devices, keys, state.revoked | {link.device})


def _reset(state: ChainState, link: Link) -> ChainState:
    _check_newcomer(state, link)
    _check_proof(link)
    _check_signer(link, [state.recovery_key])
    revoked = state.revoked | state.devices.keys()
    if device_id(link.recovery_key) in revoked:
        raise _invalid("key", link.seq, "a device that was in the chain cannot be the recovery key")
    return _restarted(state, link, revoked)


RULES: Final[Mapping[str, Callable[[ChainState, Link], ChainState]]] = MappingProxyType(
    {ADD: _add, REVOKE: _revoke, RESET: _reset}
)
"""What may follow the genesis link."""


def _restarted(state: ChainState, link: Link, revoked: frozenset[str]) -> ChainState:
    """Give the state of a chain that begins anew with the device and the recovery key of a link."""
    head = transcript.link_hash(link)
    return ChainState(
        state.name,
        head,
        link.seq,
        MappingProxyType({link.device: link.login_key}),
        link.recovery_key,
        revoked,
        MappingProxyType(_keys_of(link)),
        head,
    )


def _advanced(
    state: ChainState,
    link: Link,
    devices: Mapping[str, bytes],
    keys: Mapping[str, EncryptionKeys],
    revoked: frozenset[str],
) -> ChainState:
    return replace(
        state,
        head=transcript.link_hash(link),
        seq=link.seq,
        devices=MappingProxyType(devices),
        keys=MappingProxyType(keys),
        revoked=revoked,
    )


def _keys_of(link: Link) -> dict[str, EncryptionKeys]:
    return {link.device: EncryptionKeys(link.ed, link.curve)} if link.ed else {}


def _check_place(link: Link, name: str, seq: int, prev: bytes) -> None:
    if link.acct != name:
        raise _invalid("account", link.seq, "the link belongs to another account")
    if link.seq != seq:
        raise _invalid("seq", link.seq, f"link {seq} was expected")
    if link.prev != prev:
        raise _invalid("prev", link.seq, "the link does not follow the one before it")


def _check_keys(link: Link) -> None:
    """Accept only good keys, each in its place, and a device id that fits its key."""
    if not is_public_key(link.login_key):
        raise _invalid("key", link.seq, "the login key is not a good key")
    if link.device != device_id(link.login_key):
        raise _invalid("device", link.seq, "the device id does not belong to its key")
    _check_recovery_key(link)
    sizes = (len(link.ed), len(link.curve))
    if sizes != (0, 0) and (link.op == REVOKE or sizes != (KEY_BYTES, KEY_BYTES)):
        raise _invalid("key", link.seq, "the encryption keys are incomplete or out of place")
    if link.ed and not is_public_key(link.ed):
        raise _invalid("key", link.seq, "the encryption identity is not a good key")


def _check_recovery_key(link: Link) -> None:
    if link.op not in {GENESIS, RESET}:
        if link.recovery_key:
            raise _invalid("key", link.seq, "only a genesis or reset link sets the recovery key")
    elif not is_public_key(link.recovery_key) or link.recovery_key == link.login_key:
        raise _invalid("key", link.seq, "the recovery key is not a good key of its own")


def _check_newcomer(state: ChainState, link: Link) -> None:
    """Accept a device that was never in the chain, and never R itself as a device."""
    if link.device in state.devices or link.device in state.revoked:
        raise _invalid("device", link.seq, "the device has been in the chain already")
    if link.login_key == state.recovery_key:
        raise _invalid("key", link.seq, "the recovery key cannot be a device")


def _check_proof(link: Link) -> None:
    try:
        verify(link.login_key, link.proof, transcript.possession(link))
    except AuthFailed:
        raise _invalid(
            "proof", link.seq, "the device did not prove that it holds its key"
        ) from None


def _check_signer(link: Link, authorised: Iterable[bytes]) -> None:
    """Demand a signature of one of the keys; a link does not name its signer, but they are few."""
    message = transcript.link_signature(link)
    if not any(_has_signed(key, link, message) for key in authorised):
        raise _invalid("signer", link.seq, "nobody who may has signed the link")


def _has_signed(key: bytes, link: Link, message: bytes) -> bool:
    try:
        verify(key, link.sig, message)
    except AuthFailed:
        return False
    return True


def _invalid(reason: str, seq: int, detail: str) -> ChainInvalid:
    return ChainInvalid(f"device chain, link {seq}: {detail}", reason=reason, seq=seq)
