"""Sign and verify the keys that sessions are begun with, so that a server cannot put in its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.crypto import transcript
from jim.crypto.keys import verify
from jim.protocol.messages import PublicKey

if TYPE_CHECKING:
    from jim.crypto.suite import DeviceAccount


def sign_key(account: DeviceAccount, device: str, number: int, key: bytes) -> PublicKey:
    """Sign a Curve25519 key of the device under a number that no key of it had before."""
    return PublicKey(
        id=number, key=key, sig=account.sign(transcript.device_key(device, number, key))
    )


def verify_key(public: PublicKey, device: str, ed: bytes) -> None:
    """Check a claimed key with `ed` of the device, out of its verified chain.

    Raises:
        AuthFailed: the device did not sign it, or for another device, or under another number.
    """
    verify(ed, public.sig, transcript.device_key(device, public.id, public.key))
