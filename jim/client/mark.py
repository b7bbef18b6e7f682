"""Short names for messages: by which they are found again, here and in what the server repeats."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MARK_BYTES: Final = 8
"""A mark is compared with that of one other message, so 64 bits fail by chance once in 10^19."""


def digest_of(parts: Iterable[str]) -> bytes:
    """Hash texts so that no other texts give the same: each with its length before it."""
    encoded = [part.encode() for part in parts]
    return hashlib.sha256(
        b"".join([len(part).to_bytes(4, "big") + part for part in encoded])
    ).digest()


def mark_of(store_id: str, message_id: int, to: str, text: str) -> str:
    """Give the mark of a message of ours: the same in every copy of the store, else nowhere.

    The store's id is random and never leaves it: without it nobody who sees a mark, the server
    least of all, can try out which text it stands for, or whether two are of the same text. So it
    may stay as it is when the server no longer sees texts.
    """
    return digest_of((store_id, str(message_id), to, text))[:MARK_BYTES].hex()
