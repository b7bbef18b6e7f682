"""Seal a file, a backup, with the recovery words or with a passphrase; it may be of any size.

The format is age's (age-encryption.org/v1, by pyrage), so that `age` alone opens it too. For the
words, the file is an age file for an X25519 key derived of them; who only seals needs no words, but
the public half. For a passphrase a key is made for this one file, sealed in turn by age with the
passphrase (scrypt) and put before it as a line of Base64: age's own files with passphrases cannot
be written piece by piece by pyrage.
"""

from __future__ import annotations

import base64
import contextlib
import io
from typing import IO, TYPE_CHECKING, Final, NamedTuple

import pyrage

from jim.crypto import bech32
from jim.errors import BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jim.crypto.keys import SigningKey

DERIVATION: Final = "backup"
"""What the key of the words is derived for (`SigningKey.derive`)."""

IDENTITY_PREFIX: Final = "age-secret-key-"
"""Of a private X25519 key (age-encryption.org/v1, "The X25519 recipient type")."""

AGE: Final = b"age-encryption.org/v1\n"
"""First line of an age file."""

WITH_PASSPHRASE: Final = b"jim-sealed-1 "
"""Beginning of the line with the sealed key."""

MAX_LINE_BYTES: Final = 4096
"""Bytes read of that line: it has about 450."""

OTHER_IDENTITY: Final = "No matching keys found"
OTHER_WORD: Final = "Decryption failed"
"""What age's library says of another key, and of another passphrase (tried with pyrage 1.4)."""


class Recipient(NamedTuple):
    """The public half of the recovery words' key, `age1…`; whoever has it can seal, not open."""

    text: str


class Passphrase(NamedTuple):
    """What a person chose for this file."""

    text: str


def recipient(recovery: SigningKey) -> Recipient:
    """Give what seals for the recovery words; a device may keep it. `recovery` is their key."""
    return Recipient(str(_identity(recovery).to_public()))


def seal(source: IO[bytes], target: IO[bytes], to: Recipient | Passphrase) -> None:
    """Seal what comes out of `source`, piece by piece.

    Raises:
        ValueError: the passphrase is empty, or the recipient none.
        OSError: of source or target.
    """
    if isinstance(to, Recipient):
        try:
            public = pyrage.x25519.Recipient.from_str(to.text)
        except pyrage.RecipientError as error:
            raise ValueError(str(error)) from None
    else:
        if not to.text:
            raise ValueError("an empty passphrase protects nothing")
        identity = pyrage.x25519.Identity.generate()
        box = pyrage.passphrase.encrypt(str(identity).encode("ascii"), to.text)
        target.write(WITH_PASSPHRASE + base64.b64encode(box) + b"\n")
        public = identity.to_public()
    watched = _Watched(source), _Watched(target)
    try:
        pyrage.encrypt_io(*watched, [public])
    except (pyrage.EncryptError, OSError):
        _raise_own(*watched)
        raise


def unseal(source: IO[bytes], target: IO[bytes], by: SigningKey | Passphrase) -> None:
    """Open what comes out of `source`, piece by piece; nothing in `target` counts if it fails.

    Raises:
        BackupInvalid: with `reason` words or passphrase (other ones, or it was sealed with the
            other of the two), or damaged.
        OSError: of source or target.
    """
    beginning = source.read(len(WITH_PASSPHRASE))
    identity = _unlocked(beginning, source, by)
    watched = _Watched(source, b"" if isinstance(by, Passphrase) else beginning), _Watched(target)
    try:
        pyrage.decrypt_io(*watched, [identity])
    except (pyrage.DecryptError, OSError) as error:
        _raise_own(*watched)
        if str(error) == OTHER_IDENTITY and not isinstance(by, Passphrase):
            raise _invalid("words", "these are not the words it was sealed for") from None
        raise _invalid("damaged", str(error)) from None


def sealed_with(source: Path) -> type[Recipient | Passphrase]:
    """Tell what a file was sealed with, so that the right thing is asked for.

    Raises:
        BackupInvalid: with `reason` damaged, if it is no such file, or file.
    """
    with _file_errors(), source.open("rb") as sealed:
        beginning = sealed.read(len(WITH_PASSPHRASE))
    if beginning == WITH_PASSPHRASE:
        return Passphrase
    if beginning == AGE[: len(WITH_PASSPHRASE)]:
        return Recipient
    raise _invalid("damaged", "this is no sealed file")


def _unlocked(
    beginning: bytes, source: IO[bytes], by: SigningKey | Passphrase
) -> pyrage.x25519.Identity:
    """Give the key of the file; what is behind `beginning` and belongs to it has been read."""
    if not isinstance(by, Passphrase):
        if beginning == WITH_PASSPHRASE:
            raise _invalid("words", "it was sealed with a passphrase, not for the words")
        return _identity(by)
    if beginning != WITH_PASSPHRASE:
        if beginning == AGE[: len(WITH_PASSPHRASE)]:
            raise _invalid("passphrase", "it was sealed for the words, not with a passphrase")
        raise _invalid("damaged", "this is no sealed file")
    try:
        box = base64.b64decode(source.readline(MAX_LINE_BYTES).rstrip(b"\n"), validate=True)
        text = pyrage.passphrase.decrypt(box, by.text).decode("ascii")
        return pyrage.x25519.Identity.from_str(text)
    except pyrage.DecryptError as error:
        if str(error) == OTHER_WORD:
            raise _invalid("passphrase", "the passphrase is wrong") from None
        raise _invalid("damaged", str(error)) from None
    except (ValueError, pyrage.IdentityError) as error:
        raise _invalid("damaged", str(error)) from None


def _identity(recovery: SigningKey) -> pyrage.x25519.Identity:
    text = bech32.encode(IDENTITY_PREFIX, recovery.derive(DERIVATION)).upper()
    return pyrage.x25519.Identity.from_str(text)


class _Watched:
    """A stream for pyrage, which remembers its own error: pyrage makes texts of them."""

    def __init__(self, stream: IO[bytes], beginning: bytes = b"") -> None:
        self._stream = stream
        self._beginning = io.BytesIO(beginning)
        self.error: OSError | None = None

    def read(self, size: int = -1) -> bytes:
        with self._watching():
            return self._beginning.read(size) or self._stream.read(size)

    def write(self, content: bytes) -> int:
        with self._watching():
            return self._stream.write(content)

    def flush(self) -> None:
        with self._watching():
            self._stream.flush()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


def _raise_own(*streams: _Watched) -> None:
    for stream in streams:
        if stream.error is not None:
            raise stream.error


@contextlib.contextmanager
def _file_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        detail = str(error.strerror or error)
        place = f"{error.filename}: " if error.filename else ""
        raise _invalid("file", f"{place}{detail}") from error


def _invalid(reason: str, detail: str) -> BackupInvalid:
    return BackupInvalid(detail, reason=reason)
