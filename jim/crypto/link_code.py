"""The code that a new device shows and that is typed on an old one: it proves each to the other.

26 characters: 16 are a hash (80 bits, as in a device id) over the server, the name, the new
device's public keys and the other 10; those are a secret (50 bits) that the server never learns. So

- the old device takes in nobody but who has shown the code, even if somebody has read it too: that
  would need other keys with the same hash;
- the new device joins nobody's chain but that of a device where the code was typed: a draft is
  authenticated with a key made from the secret. To find the secret by trying, a server has to
  compute scrypt 2^49 times on average while the device waits, ten minutes.

Who has read the code *and* runs the server could draw a new device into a foreign chain. Against
that there is `confirmation`, which both sides show.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jim.crypto import base32, transcript
from jim.errors import ChainInvalid, LinkCodeInvalid

if TYPE_CHECKING:
    from jim.crypto.transcript import NewDevice
    from jim.protocol.messages import Link

CHECK_CHARACTERS: Final = 16
"""80 bits of a hash: nobody finds other keys for a code that somebody else shows."""

SECRET_CHARACTERS: Final = 10
"""50 bits, each try at 0.1 s of a processor: two million processor years on average."""

CHARACTERS: Final = CHECK_CHARACTERS + SECRET_CHARACTERS

PREFIX: Final = "JIM-LINK:"
"""Before the code in a QR picture, so that a scanner's owner sees what it is."""

SCRYPT_N: Final = 2**15
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
"""N = 2^15, r = 8, p = 1: 32 MiB and 0.1 s (RFC 7914; Percival's figure for interactive use, with
twice the memory)."""

SCRYPT_MEMORY: Final = 2 * 128 * SCRYPT_N * SCRYPT_R
"""Bytes that OpenSSL may use: the algorithm's 128·N·r, and room for the rest."""

CONFIRMATION_DIGITS: Final = 20
"""66 bits: a server that would have to match them by trying has ten minutes for it."""

CONFIRMATION_GROUP: Final = 5


@dataclass(frozen=True, slots=True)
class LinkCode:
    """A code taken apart; its secret half does not show up in `repr`."""

    check: str
    secret: str

    def __repr__(self) -> str:
        return f"<LinkCode {self.check}>"

    @property
    def text(self) -> str:
        """The code in one piece, as it is put into a QR picture after `PREFIX`."""
        return self.check + self.secret

    @property
    def shown(self) -> str:
        """The code in groups of four, to read and type."""
        return base32.grouped(self.text)

    def fits(self, server_id: bytes, name: str, device: NewDevice) -> bool:
        """Tell whether a device with these keys has shown this code; `name` is normalised."""
        expected = _check(server_id, name, device, self.secret)
        return hmac.compare_digest(expected, self.check)

    def approve(self, link: Link) -> bytes:
        """Authenticate a draft for the new device, as somebody who knows its code; takes 0.1 s."""
        return hmac.digest(self._key(link), transcript.approval(link), "sha256")

    def check_approval(self, link: Link, approval: bytes) -> None:
        """Demand that the draft comes from somebody who knows the code; takes 0.1 s.

        Raises:
            ChainInvalid: with `reason` approval.
        """
        if not hmac.compare_digest(self.approve(link), approval):
            detail = "whoever wants to add this device does not know its code"
            raise ChainInvalid(detail, reason="approval", seq=link.seq)

    def _key(self, link: Link) -> bytes:
        """Make the key from the secret; the salt ties it to one device."""
        return hashlib.scrypt(
            self.secret.encode(),
            salt=link.login_key,
            n=SCRYPT_N,
            r=SCRYPT_R,
            p=SCRYPT_P,
            maxmem=SCRYPT_MEMORY,
            dklen=32,
        )


def new_secret() -> str:
    """Make the secret half of a code; with the same one, a device shows the same code again."""
    return base32.encode(secrets.token_bytes(SECRET_CHARACTERS))[:SECRET_CHARACTERS]


def make_code(server_id: bytes, name: str, device: NewDevice, secret: str) -> LinkCode:
    """Make the code of a device with these public keys; `name` is normalised."""
    return LinkCode(_check(server_id, name, device, secret), secret)


def parse_code(text: str) -> LinkCode:
    """Read a code as typed or scanned; case, spaces and hyphens do not matter.

    Raises:
        LinkCodeInvalid: says which character is wrong, or that the length is.
    """
    compact = "".join(text.split())
    if compact.upper().startswith(PREFIX):
        compact = compact[len(PREFIX) :]
    compact = compact.replace("-", "")
    try:
        base32.check(compact, CHARACTERS)
    except ValueError as error:
        raise LinkCodeInvalid(str(error)) from None
    lowered = compact.lower()
    return LinkCode(lowered[:CHECK_CHARACTERS], lowered[CHECK_CHARACTERS:])


def confirmation(name: str, root: bytes, login_key: bytes) -> str:
    """Give the digits that both devices show when one was linked: 4 groups of 5.

    `root` is that of the account's chain (`ChainState.root`), `login_key` the new device's.
    """
    digest = hashlib.sha256(transcript.confirmation(name, root, login_key)).digest()
    digits = f"{int.from_bytes(digest, 'big') % 10**CONFIRMATION_DIGITS:0{CONFIRMATION_DIGITS}d}"
    return base32.grouped(digits, CONFIRMATION_GROUP)


def _check(server_id: bytes, name: str, device: NewDevice, secret: str) -> str:
    digest = hashlib.sha256(transcript.link_code(server_id, name, device, secret)).digest()
    return base32.encode(digest)[:CHECK_CHARACTERS]
