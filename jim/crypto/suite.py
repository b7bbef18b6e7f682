"""What the client needs of an encryption between two devices, and how a ciphertext is written.

One suite is one way to do it, known by a digit; today there is `jim.crypto.olm`. Everything here
changes in memory: whoever uses it keeps `pickle` durably before anything leaves the machine.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from jim.errors import CannotDecrypt

if TYPE_CHECKING:
    from jim.crypto.keys import EncryptionKeys

FIRST: Final = "p"
"""A message that begins a session: it also carries what the other side needs for that."""

FURTHER: Final = "m"
"""A message of a session that is there."""


class Sealed(NamedTuple):
    """A ciphertext taken apart."""

    suite: str
    is_first: bool
    body: bytes


def write_ciphertext(sealed: Sealed) -> str:
    """Write a ciphertext as it travels: digit of the suite, kind, base64 without padding."""
    body = base64.b64encode(sealed.body).rstrip(b"=").decode()
    return f"{sealed.suite}{FIRST if sealed.is_first else FURTHER}{body}"


def read_ciphertext(text: str) -> Sealed:
    """Read what `write_ciphertext` wrote.

    Raises:
        CannotDecrypt: it is nothing of the kind, with `reason` format.
    """
    suite, kind, body = text[:1], text[1:2], text[2:]
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except ValueError:
        raw = b""
    if kind not in {FIRST, FURTHER} or not raw:
        raise CannotDecrypt("this is no ciphertext", reason="format")
    return Sealed(suite, kind == FIRST, raw)


class Session(Protocol):
    """A running encryption with one other device; every call moves it on."""

    @property
    def session_id(self) -> str:
        """The same on both sides, and for no other session."""

    def encrypt(self, plaintext: bytes) -> Sealed:
        """Seal for the other side."""

    def decrypt(self, sealed: Sealed) -> bytes:
        """Open what the other side has sealed.

        Raises:
            CannotDecrypt: it is none of this session, altered, or opened before. The session stays
                as it was.
        """

    def matches(self, sealed: Sealed) -> bool:
        """Tell whether a message that begins a session has begun this one."""

    def pickle(self, key: bytes) -> str:
        """Write the state, encrypted with a key of 32 bytes."""


class DeviceAccount(Protocol):
    """The long-lived keys of one device, and the ones that others begin sessions with."""

    @property
    def keys(self) -> EncryptionKeys:
        """The public halves, as they stand in the device chain."""

    def sign(self, message: bytes) -> bytes:
        """Sign with the key `ed`; 64 bytes."""

    def new_one_time_keys(self, count: int) -> list[bytes]:
        """Make one-time keys; gives their public halves. Those of before count as published."""

    def new_fallback_key(self) -> bytes:
        """Make a fallback key; the one before goes on to work, the one before that does not."""

    def begin(self, peer: EncryptionKeys, key: bytes) -> Session:
        """Begin a session with a device by one of its one-time or fallback keys.

        Raises:
            CannotDecrypt: with `reason` key, for keys that nobody honest has.
        """

    def accept(self, peer: EncryptionKeys, sealed: Sealed) -> tuple[Session, bytes]:
        """Take up a session that another device has begun; also gives the first plaintext.

        A one-time key that it used is gone afterwards.

        Raises:
            CannotDecrypt: the message is altered, or made with a key that is not here (any more).
        """

    def pickle(self, key: bytes) -> str:
        """Write the state, encrypted with a key of 32 bytes."""


class CryptoSuite(Protocol):
    """One way of encrypting between devices."""

    suite_id: str
    """One character, the first of every ciphertext."""

    def new_account(self) -> DeviceAccount:
        """Make the keys of a new device."""

    def account(self, pickle: str, key: bytes) -> DeviceAccount:
        """Restore an account.

        Raises:
            CannotDecrypt: with `reason` pickle, if it is damaged or the key is another one.
        """

    def session(self, pickle: str, key: bytes) -> Session:
        """Restore a session; raises as `account`."""
