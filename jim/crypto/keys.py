"""Ed25519 keys: make, sign, verify, and the texts that people compare; never files.

PyNaCl (libsodium) alone verifies. Other libraries accept public keys of small order, for which a
constant signature verifies any message; here such keys fail like every other bad key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, Never

import nacl.bindings
import nacl.exceptions
import nacl.signing

from jim.crypto import base32
from jim.errors import AuthFailed

KEY_BYTES: Final = 32
"""Size of a seed and of a public key (RFC 8032, 5.1.5)."""

SIGNATURE_BYTES: Final = 64
"""Size of a signature: R, then S (RFC 8032, 5.1.6)."""

GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""L, the order of the base point (RFC 8032, 5.1); S has to be below it."""

DEVICE_ID_LABEL: Final = b"jim-dev\0"
DEVICE_ID_CHARACTERS: Final = 16
"""80 bits of a hash: nobody finds a second key for a device id of somebody else's account."""

FINGERPRINT_CHARACTERS: Final = 32
"""160 bits of a hash, eight groups of four: what people can compare by voice."""


@dataclass(frozen=True, slots=True)
class EncryptionKeys:
    """The public keys of a device's encryption account; both empty until there is one."""

    ed: bytes = b""
    curve: bytes = b""


NO_KEYS: Final = EncryptionKeys()


class SigningKey:
    """A private Ed25519 key. Its seed shows up neither in `repr` nor in a pickle."""

    __slots__ = ("_key", "public")

    public: bytes
    """The public key, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        """Rebuild the key of a 32-byte seed.

        Raises:
            ValueError: the seed has another size.
        """
        if len(seed) != KEY_BYTES:
            raise ValueError(f"a seed has {KEY_BYTES} bytes, not {len(seed)}")
        self._key = nacl.signing.SigningKey(seed)
        self.public = bytes(self._key.verify_key)

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key from the system's randomness."""
        return cls(bytes(nacl.signing.SigningKey.generate()))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the key file."""
        return bytes(self._key)

    def derive(self, label: str) -> bytes:
        """Give 32 secret bytes for another purpose, of which nothing leads back to the key.

        BLAKE2b keyed with the seed (RFC 7693): a PRF of the label.
        """
        return hashlib.blake2b(
            label.encode(), key=self.seed, digest_size=KEY_BYTES, person=b"jim-derive"
        ).digest()

    def sign(self, message: bytes) -> bytes:
        """Sign a transcript; gives 64 bytes."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"<SigningKey {short_fingerprint(self.public)}>"

    def __reduce__(self) -> Never:
        raise TypeError("a private key is not pickled")


def is_public_key(public: bytes) -> bool:
    """Tell whether we accept the key: canonical, in the main subgroup, not of small order."""
    return len(public) == KEY_BYTES and nacl.bindings.crypto_core_ed25519_is_valid_point(public)


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature; 80 µs.

    libsodium refuses small-order and non-canonical keys and S ≥ L by itself, unless it was built to
    be lax. We check that once more, because this function is where a distribution's build would
    hurt.

    Raises:
        AuthFailed: the signature, or the key, is not good. Never says which.
    """
    if len(signature) != SIGNATURE_BYTES or not is_public_key(public):
        raise AuthFailed
    if int.from_bytes(signature[KEY_BYTES:], "little") >= GROUP_ORDER:
        raise AuthFailed
    try:
        nacl.bindings.crypto_sign_open(signature + message, public)
    except nacl.exceptions.BadSignatureError:
        raise AuthFailed from None


def device_id(public: bytes) -> str:
    """Derive the 16 characters that name a device from its login key."""
    digest = hashlib.sha256(DEVICE_ID_LABEL + public).digest()
    return base32.encode(digest)[:DEVICE_ID_CHARACTERS]


def fingerprint(public: bytes) -> str:
    """Give the key's fingerprint to show: eight groups of four characters."""
    return base32.grouped(_digest(public)[:FINGERPRINT_CHARACTERS])


def short_fingerprint(public: bytes) -> str:
    """Give the first 16 characters of the fingerprint, for names of directories and for logs."""
    return _digest(public)[: FINGERPRINT_CHARACTERS // 2]


def format_pin(public: bytes) -> str:
    """Write a whole public key as 52 characters."""
    return base32.encode(public)


def parse_pin(text: str) -> bytes:
    """Read a public key as `format_pin` writes it; case, spaces and hyphens do not matter.

    Raises:
        ValueError: says what is wrong: a character, the length, or that this is no key (a typing
            error gives a valid key in one case of sixteen).
    """
    public = base32.decode("".join(text.replace("-", " ").split()), KEY_BYTES)
    if not is_public_key(public):
        raise ValueError("it is not a key: a character is wrong")
    return public


def _digest(public: bytes) -> str:
    return base32.encode(hashlib.sha256(public).digest())
