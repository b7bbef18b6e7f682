"""The two small binary formats inside the database: answers of a device, marks of a segment.

Answers: one byte of version, then 14 bytes each, oldest first, the last one for the device's last
number: sequence (6 bytes), time in ms (6 bytes), skipped devices (2 bytes), big-endian. Fixed
widths, so that a commit appends the new ones to the packed old ones without touching those. 48 bits
of ms last until the year 10889, and a conversation at 1,000 messages a second for 8,900 years.

Marks: a MessagePack map of conversation to sequence, nothing at all for an empty one.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from jim.core.model import Stored

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION: Final = b"\x01"
NO_ANSWERS: Final = VERSION

_ANSWER: Final = Struct(">HIHIH")
_LOW: Final = 0xFFFF_FFFF
_encode_marks = msgspec.msgpack.Encoder().encode
_decode_marks = msgspec.msgpack.Decoder(dict[int, int]).decode


def append_answers(packed: bytes, new: Iterable[Stored], window: int) -> bytes:
    """Add answers behind the packed ones and drop the oldest beyond `window`."""
    pack = _ANSWER.pack
    added = [
        pack(a.seq >> 32, a.seq & _LOW, a.time_ms >> 32, a.time_ms & _LOW, a.skipped) for a in new
    ]
    room = max(0, window - len(added)) * _ANSWER.size
    kept = packed[len(VERSION) :]
    return VERSION + kept[max(0, len(kept) - room) :] + b"".join(added[-window:])


def unpack_answers(packed: bytes, last_n: int) -> deque[Stored]:
    """Read packed answers; the last one is for `last_n`, those before it for the numbers before.

    Raises:
        ValueError: the bytes are not of this format.
    """
    if packed[: len(VERSION)] != VERSION or (len(packed) - len(VERSION)) % _ANSWER.size:
        raise ValueError("packed answers have an unknown format")
    rows = list(_ANSWER.iter_unpack(packed[len(VERSION) :]))
    first_n = last_n - len(rows) + 1
    return deque(
        Stored(n, seq_high << 32 | seq_low, ms_high << 32 | ms_low, skipped)
        for n, (seq_high, seq_low, ms_high, ms_low, skipped) in enumerate(rows, first_n)
    )


def pack_marks(marks: dict[int, int]) -> bytes:
    """Write the marks of a segment."""
    return _encode_marks(marks) if marks else b""


def unpack_marks(packed: bytes) -> dict[int, int]:
    """Read the marks of a segment.

    Raises:
        msgspec.DecodeError: the bytes are not of this format.
    """
    return _decode_marks(packed) if packed else {}
