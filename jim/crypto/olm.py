"""The suite `1`: Olm (triple Diffie-Hellman and double ratchet) by vodozemac.

Sources: vodozemac 0.10 (matrix.org), whose Olm is that of the specification at
gitlab.matrix.org/matrix-org/olm. Nothing of the encryption is ours; this module only fits its
types to `jim.crypto.suite`.
"""

from __future__ import annotations

import base64
from typing import Any, Final, cast

import vodozemac
from vodozemac import AnyOlmMessage, Curve25519PublicKey

from jim.crypto.keys import EncryptionKeys
from jim.crypto.suite import Sealed
from jim.errors import CannotDecrypt

SUITE_ID: Final = "1"

_FIRST: Final = 0
"""Type of a pre-key message in Olm."""
_FURTHER: Final = 1

_ERRORS: Final = (ValueError, OverflowError)
"""Everything that vodozemac raises is a ValueError (its stubs, and tried with damaged input)."""


class OlmSession:
    """One Olm session."""

    __slots__ = ("_session",)

    def __init__(self, session: vodozemac.Session) -> None:
        """Take a session of the library."""
        self._session = session

    @property
    def session_id(self) -> str:
        """The same on both sides, and for no other session."""
        return self._session.session_id

    def encrypt(self, plaintext: bytes) -> Sealed:
        """Seal for the other side."""
        kind, body = self._session.encrypt(plaintext).to_parts()
        return Sealed(SUITE_ID, kind == _FIRST, body)

    def decrypt(self, sealed: Sealed) -> bytes:
        """Open what the other side has sealed."""
        message = _message(sealed)
        try:
            return self._session.decrypt(message)
        except _ERRORS as error:
            raise CannotDecrypt(str(error), reason="session") from None

    def matches(self, sealed: Sealed) -> bool:
        """Tell whether a message that begins a session has begun this one."""
        if not sealed.is_first:
            return False
        first = _message(sealed).to_pre_key()
        return first is not None and self._session.session_matches(first)

    def pickle(self, key: bytes) -> str:
        """Write the state, encrypted with a key of 32 bytes."""
        return self._session.pickle(key)


class OlmAccount:
    """The Olm account of one device."""

    __slots__ = ("_account", "keys")

    keys: EncryptionKeys
    """The public halves, as they stand in the device chain."""

    def __init__(self, account: vodozemac.Account) -> None:
        """Take an account of the library."""
        self._account = account
        self.keys = EncryptionKeys(
            ed=_raw(account.ed25519_key.to_base64()), curve=account.curve25519_key.to_bytes()
        )

    def sign(self, message: bytes) -> bytes:
        """Sign with the key `ed`; 64 bytes."""
        return _raw(self._account.sign(message).to_base64())

    def new_one_time_keys(self, count: int) -> list[bytes]:
        """Make one-time keys; gives their public halves. Those of before count as published."""
        self._account.mark_keys_as_published()
        self._account.generate_one_time_keys(count)
        made = [key.to_bytes() for key in self._account.one_time_keys.values()]
        self._account.mark_keys_as_published()
        return made

    def new_fallback_key(self) -> bytes:
        """Make a fallback key; the one before goes on to work, the one before that does not."""
        account = cast("Any", self._account)  # the stubs of 0.10 leave these two out
        account.mark_keys_as_published()
        account.generate_fallback_key()
        [made] = account.fallback_key.values()
        account.mark_keys_as_published()
        return bytes(made.to_bytes())

    def begin(self, peer: EncryptionKeys, key: bytes) -> OlmSession:
        """Begin a session with a device by one of its one-time or fallback keys."""
        try:
            identity, other = _curve(peer.curve), _curve(key)
            return OlmSession(self._account.create_outbound_session(identity, other))
        except _ERRORS as error:
            raise CannotDecrypt(str(error), reason="key") from None

    def accept(self, peer: EncryptionKeys, sealed: Sealed) -> tuple[OlmSession, bytes]:
        """Take up a session that another device has begun; also gives the first plaintext."""
        first = _message(sealed).to_pre_key()
        if first is None:
            raise CannotDecrypt("it begins no session", reason="session")
        try:
            session, plaintext = self._account.create_inbound_session(_curve(peer.curve), first)
        except _ERRORS as error:
            raise CannotDecrypt(str(error), reason="session") from None
        return OlmSession(session), plaintext

    def pickle(self, key: bytes) -> str:
        """Write the state, encrypted with a key of 32 bytes."""
        return self._account.pickle(key)


class Olm:
    """The suite; it has no state."""

    suite_id = SUITE_ID

    def new_account(self) -> OlmAccount:
        """Make the keys of a new device."""
        return OlmAccount(vodozemac.Account())

    def account(self, pickle: str, key: bytes) -> OlmAccount:
        """Restore an account."""
        try:
            return OlmAccount(vodozemac.Account.from_pickle(pickle, key))
        except _ERRORS as error:
            raise CannotDecrypt(str(error), reason="pickle") from None

    def session(self, pickle: str, key: bytes) -> OlmSession:
        """Restore a session."""
        try:
            return OlmSession(vodozemac.Session.from_pickle(pickle, key))
        except _ERRORS as error:
            raise CannotDecrypt(str(error), reason="pickle") from None


def _message(sealed: Sealed) -> AnyOlmMessage:
    if sealed.suite != SUITE_ID:
        raise CannotDecrypt("sealed in a way that this version does not know", reason="suite")
    try:
        return AnyOlmMessage.from_parts(_FIRST if sealed.is_first else _FURTHER, sealed.body)
    except _ERRORS as error:
        raise CannotDecrypt(str(error), reason="format") from None


def _curve(raw: bytes) -> Curve25519PublicKey:
    return Curve25519PublicKey.from_bytes(raw)


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))
