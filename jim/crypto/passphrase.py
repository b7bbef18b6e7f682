"""Seal the seed of a key with a passphrase, as a readable text; never files.

Argon2id makes a key of the passphrase, XSalsa20-Poly1305 seals with it (both libsodium). What the
derivation costs stands in the text, so that it can grow without making older files unreadable.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final, NamedTuple

import nacl.exceptions
import nacl.pwhash.argon2id as kdf
import nacl.secret
import nacl.utils

from jim.crypto import base32
from jim.crypto.keys import KEY_BYTES, SigningKey

FORMAT: Final = "jim-key-2"
"""First word of a sealed key; then as `_write` has it."""

KDF: Final = "argon2id"

OPERATIONS: Final = kdf.OPSLIMIT_MODERATE
MEMORY_BYTES: Final = kdf.MEMLIMIT_MODERATE
"""libsodium's choice for "sensitive, but interactive": 3 passes over 256 MiB, about 0.7 s."""

MAX_OPERATIONS: Final = 64
MAX_MEMORY_BYTES: Final = 2**32
"""More is damage, or somebody who wants to see us busy; four times libsodium's SENSITIVE."""

SALT_BYTES: Final = kdf.SALTBYTES
SEALED_BYTES: Final = nacl.secret.SecretBox.NONCE_SIZE + KEY_BYTES + nacl.secret.SecretBox.MACBYTES

CHECK_BYTES: Final = 10
"""80 bits of SHA-256 over the rest: tells damage from a wrong passphrase."""


class SealedSeed(NamedTuple):
    """A seed that only its passphrase opens.

    Attributes:
        public: its public key, 32 bytes; in the open, so that a locked key can be named.
        operations: passes of Argon2id.
        memory_bytes: memory of Argon2id.
        salt: 16 bytes.
        box: nonce and ciphertext, 72 bytes.
    """

    public: bytes
    operations: int
    memory_bytes: int
    salt: bytes
    box: bytes


def seal(key: SigningKey, passphrase: str) -> str:
    """Seal the seed of a key; gives the text for its file. Takes about 0.7 s and 256 MiB.

    Raises:
        ValueError: the passphrase is empty.
        MemoryError: there is not enough of it.
    """
    if not passphrase:
        raise ValueError("an empty passphrase protects nothing")
    salt = nacl.utils.random(SALT_BYTES)
    derived = _derive(passphrase, salt, OPERATIONS, MEMORY_BYTES)
    box = bytes(nacl.secret.SecretBox(derived).encrypt(key.seed))
    return _write(SealedSeed(key.public, OPERATIONS, MEMORY_BYTES, salt, box))


def unseal(sealed: SealedSeed, passphrase: str) -> SigningKey | None:
    """Open a sealed seed; None if the passphrase is another one. Takes as long as `seal` did.

    Raises:
        MemoryError: there is not enough of it.
    """
    derived = _derive(passphrase, sealed.salt, sealed.operations, sealed.memory_bytes)
    try:
        key = SigningKey(nacl.secret.SecretBox(derived).decrypt(sealed.box))
    except nacl.exceptions.CryptoError:
        return None
    return key if key.public == sealed.public else None


def parse(text: str) -> SealedSeed:
    """Read what `seal` wrote.

    Raises:
        ValueError: it is nothing of the kind, or damaged.
    """
    words = text.split()
    form, name, operations, memory, salt, box, public, check = words
    if (form, name) != (FORMAT, KDF) or check != _check(words[:-1]):
        raise ValueError("this is no sealed key, or a damaged one")
    sealed = SealedSeed(
        base32.decode(public, KEY_BYTES),
        int(operations),
        int(memory),
        base32.decode(salt, SALT_BYTES),
        base32.decode(box, SEALED_BYTES),
    )
    if not kdf.OPSLIMIT_MIN <= sealed.operations <= MAX_OPERATIONS:
        raise ValueError("the number of passes is out of bounds")
    if not kdf.MEMLIMIT_MIN <= sealed.memory_bytes <= MAX_MEMORY_BYTES:
        raise ValueError("the memory is out of bounds")
    return sealed


def _write(sealed: SealedSeed) -> str:
    """Give the lines: format and cost, salt, box, public key, check."""
    words = [FORMAT, KDF, str(sealed.operations), str(sealed.memory_bytes)]
    rest = [base32.encode(raw) for raw in (sealed.salt, sealed.box, sealed.public)]
    return "\n".join([" ".join(words), *rest, _check([*words, *rest]), ""])


def _check(words: list[str]) -> str:
    return base32.encode(hashlib.sha256(" ".join(words).encode()).digest()[:CHECK_BYTES])


def _derive(passphrase: str, salt: bytes, operations: int, memory_bytes: int) -> bytes:
    # NFC, as RFC 8265 (OpaqueString) asks: the same letters typed on another system are the same.
    raw = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        return kdf.kdf(nacl.secret.SecretBox.KEY_SIZE, raw, salt, operations, memory_bytes)
    except nacl.exceptions.RuntimeError as error:
        raise MemoryError(f"Argon2id needs {memory_bytes >> 20} MiB") from error
