"""Write bytes as text that survives being read aloud: base32 in lower case without padding.

The alphabet is RFC 4648's, a-z and 2-7: it has no 0, 1, 8 and 9, so their look-alikes are no trap.
"""

from __future__ import annotations

import base64
from typing import Final

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
LOOKALIKES: Final = {"0": "o", "1": "l", "8": "b", "9": "g"}
"""What somebody probably meant who typed a digit that the alphabet does not have."""

BITS: Final = 5
"""Bits that one character carries (RFC 4648, section 6)."""


def encode(raw: bytes) -> str:
    """Write bytes as text, 8 characters for every 5 bytes."""
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def decode(text: str, size: int) -> bytes:
    """Read exactly `size` bytes from text in either case.

    Accepts one spelling per value: leftover bits have to be zero.

    Raises:
        ValueError: says which character is wrong, or that the length is.
    """
    lowered = text.lower()
    expected = -(-size * 8 // BITS)
    check(text, expected)
    raw = base64.b32decode(lowered.upper() + "=" * (-expected % 8))
    if encode(raw) != lowered:
        raise ValueError("its last character is wrong")
    return raw


def check(text: str, size: int) -> None:
    """Demand `size` characters of the alphabet, in either case.

    Raises:
        ValueError: says which character is wrong, or that the length is.
    """
    # Not the lowered text: the Kelvin sign would become a k.
    if wrong := [sign for sign in text if sign not in ALPHABET and sign not in ALPHABET.upper()]:
        raise ValueError(_explain(wrong[0]))
    if len(text) != size:
        raise ValueError(f"it has {len(text)} characters instead of {size}")


def grouped(text: str, width: int = 4) -> str:
    """Put a space after every `width` characters."""
    return " ".join(text[start : start + width] for start in range(0, len(text), width))


def _explain(wrong: str) -> str:
    hint = f" (meant {LOOKALIKES[wrong]!r}?)" if wrong in LOOKALIKES else ""
    return f"it contains {wrong!r}, which never occurs in it{hint}"
