"""Make the links of an account's device chain; `jim.crypto.chain` verifies them.

Nothing here checks whether the signer may sign: whoever receives the link does. The time of a link,
in ms since the epoch, comes from the caller.
"""

from __future__ import annotations

from types import MappingProxyType

import msgspec

from jim.crypto import transcript
from jim.crypto.chain import FIRST_SEQ, NO_HEAD, NO_PROOF, ChainState
from jim.crypto.keys import NO_KEYS, SIGNATURE_BYTES, EncryptionKeys, SigningKey, device_id
from jim.protocol.messages import ADD, GENESIS, RESET, REVOKE, Link


def make_genesis(
    name: str, device: SigningKey, recovery_key: bytes, time: int, keys: EncryptionKeys = NO_KEYS
) -> Link:
    """Make the first link of an account; `recovery_key` is public, `time` in ms since the epoch."""
    start = ChainState(name, NO_HEAD, FIRST_SEQ - 1, MappingProxyType({}), recovery_key)
    draft = _draft(start, GENESIS, device.public, time=time, keys=keys, recovery_key=recovery_key)
    return _signed(_proven(draft, device), device)


def make_add(
    state: ChainState,
    device: SigningKey,
    signer: SigningKey,
    time: int,
    keys: EncryptionKeys = NO_KEYS,
) -> Link:
    """Add a device whose private key is here, signed by R or by an authorised device."""
    return sign_add(prepare_add(state, device, time, keys), signer)


def prepare_add(
    state: ChainState, device: SigningKey, time: int, keys: EncryptionKeys = NO_KEYS
) -> Link:
    """Make the new device's half of an add: everything but the signature of who allows it."""
    return prove_add(draft_add(state, device.public, time, keys), device)


def draft_add(state: ChainState, login_key: bytes, time: int, keys: EncryptionKeys) -> Link:
    """Make an add for a device whose private key is elsewhere, without its proof."""
    return _draft(state, ADD, login_key, time=time, keys=keys)


def prove_add(link: Link, device: SigningKey) -> Link:
    """Put the proof of the new device in; look at where the link adds it before."""
    return _proven(link, device)


def sign_add(link: Link, signer: SigningKey) -> Link:
    """Allow a prepared link; look at what it adds before."""
    return _signed(link, signer)


def make_revoke(state: ChainState, device: str, signer: SigningKey, time: int) -> Link:
    """Revoke an authorised device, signed by R or by an authorised device (also by itself).

    Raises:
        KeyError: the device is not authorised.
    """
    draft = _draft(state, REVOKE, state.devices[device], time=time, keys=NO_KEYS)
    return _signed(draft, signer)


def make_reset(
    state: ChainState,
    device: SigningKey,
    new_recovery_key: bytes,
    recovery: SigningKey,
    *,
    time: int,
    keys: EncryptionKeys = NO_KEYS,
) -> Link:
    """Replace every device by one, and R by a new one; signed by the old R."""
    draft = _draft(state, RESET, device.public, time=time, keys=keys, recovery_key=new_recovery_key)
    return _signed(_proven(draft, device), recovery)


def _draft(
    state: ChainState,
    op: str,
    login_key: bytes,
    *,
    time: int,
    keys: EncryptionKeys,
    recovery_key: bytes = b"",
) -> Link:
    """Fill in everything but proof and signature."""
    return Link(
        acct=state.name,
        seq=state.seq + 1,
        prev=state.head,
        op=op,
        device=device_id(login_key),
        login_key=login_key,
        ed=keys.ed,
        curve=keys.curve,
        recovery_key=recovery_key,
        time=time,
        proof=NO_PROOF,
        sig=bytes(SIGNATURE_BYTES),
    )


def _proven(link: Link, device: SigningKey) -> Link:
    return msgspec.structs.replace(link, proof=device.sign(transcript.possession(link)))


def _signed(link: Link, signer: SigningKey) -> Link:
    return msgspec.structs.replace(link, sig=signer.sign(transcript.link_signature(link)))
