"""The digits that two people compare to know that nobody sits between them.

Made of the accounts' names and roots (`jim.crypto.chain`), so that a further device changes nothing
and an account that began anew changes everything. The way is Signal's "numeric fingerprint"
(libsignal, rust/protocol/src/fingerprint.rs), with a label and fields of our own.
"""

from __future__ import annotations

import hashlib
from typing import Final

LABEL: Final = b"jim-safety-1\0"

ITERATIONS: Final = 5200
"""Rounds of SHA-512 as in libsignal: whoever looks for a root with the same digits pays them."""

ROOT_BYTES: Final = 32
"""Size of a root, a SHA-256."""

GROUPS: Final = 6
"""Groups for one account: 30 digits, about 99 bits; those of both are 60 (libsignal)."""

GROUP_BYTES: Final = 5
GROUP_DIGITS: Final = 5
"""40 bits give five digits, all equally likely but for one part in ten million (libsignal)."""


def safety_number(one: tuple[str, bytes], other: tuple[str, bytes]) -> str:
    """Give the 60 digits of two accounts, each a name and its root, in twelve groups of five.

    Whose account comes first makes no difference.

    Raises:
        ValueError: a root has another size.
    """
    return " ".join(sorted([account_number(*one), account_number(*other)]))


def account_number(name: str, root: bytes) -> str:
    """Give the 30 digits of one account in six groups, to compare on two devices of its owner.

    Takes 3 ms.

    Raises:
        ValueError: the root has another size.
    """
    if len(root) != ROOT_BYTES:
        raise ValueError(f"a root has {ROOT_BYTES} bytes, not {len(root)}")
    digest = LABEL + root + name.encode()
    for _ in range(ITERATIONS):
        digest = hashlib.sha512(digest + root).digest()
    return " ".join(_digits(digest, group) for group in range(GROUPS))


def _digits(digest: bytes, group: int) -> str:
    start = group * GROUP_BYTES
    number = int.from_bytes(digest[start : start + GROUP_BYTES], "big")
    return f"{number % 10**GROUP_DIGITS:0{GROUP_DIGITS}}"
