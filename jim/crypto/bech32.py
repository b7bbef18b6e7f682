"""Write bytes as Bech32 (BIP 173), as age writes its keys; nothing here reads it.

The 90 characters that BIP 173 allows are no limit in age, and none here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALPHABET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
"""Coefficients of the checksum's polynomial."""

CHECK_CHARACTERS: Final = 6
BITS: Final = 5
"""Bits that one character carries."""


def encode(prefix: str, raw: bytes) -> str:
    """Write bytes behind a prefix in lower case."""
    return encode_values(prefix, _regrouped(raw))


def encode_values(prefix: str, values: Sequence[int]) -> str:
    """Write numbers below 32 behind a prefix in lower case."""
    head = [ord(sign) >> BITS for sign in prefix] + [0] + [ord(sign) & 31 for sign in prefix]
    rest = _remainder([*head, *values, *[0] * CHECK_CHARACTERS]) ^ 1
    check = [rest >> BITS * place & 31 for place in reversed(range(CHECK_CHARACTERS))]
    return f"{prefix}1{''.join(ALPHABET[value] for value in [*values, *check])}"


def _regrouped(raw: bytes) -> list[int]:
    """Cut bytes into groups of five bits; zeros fill up the last one."""
    missing = -len(raw) * 8 % BITS
    number = int.from_bytes(raw, "big") << missing
    groups = (len(raw) * 8 + missing) // BITS
    return [number >> BITS * place & 31 for place in reversed(range(groups))]


def _remainder(values: Iterable[int]) -> int:
    """Divide the polynomial of the values by the generator."""
    rest = 1
    for value in values:
        top = rest >> 25
        rest = (rest & 0x1FFFFFF) << BITS ^ value
        for place, coefficient in enumerate(GENERATOR):
            if top >> place & 1:
                rest ^= coefficient
    return rest
