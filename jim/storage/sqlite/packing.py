"""The two small binary formats inside the database: answers of a device, marks of a segment.

Answers: one byte of version, then 18 bytes for consecutive numbers with consecutive places, oldest
first, the last ones ending with the device's last number: how many (4 bytes), first sequence (6
bytes), time in ms (6 bytes), skipped devices (2 bytes), big-endian. 48 bits of ms last until the
year 10889, and a conversation at 1,000 messages a second for 8,900 years. A sequence of 0 stands
for messages that had no place, and does not grow; there was none before schema 5.

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

VERSION: Final = b"\x02"
SINGLE: Final = b"\x01"
"""The version before: an answer for each number, 14 bytes without the count."""

NO_ANSWERS: Final = SINGLE

_ANSWERS: Final = Struct(">IHIHIH")
_SINGLE_ANSWER: Final = Struct(">HIHIH")
_LOW: Final = 0xFFFF_FFFF
_encode_marks = msgspec.msgpack.Encoder().encode
_decode_marks = msgspec.msgpack.Decoder(dict[int, int]).decode


def pack_answers(answers: Iterable[Stored]) -> bytes:
    """Write answers, oldest first."""
    pack = _ANSWERS.pack
    rows = [
        pack(a.count, a.seq >> 32, a.seq & _LOW, a.time_ms >> 32, a.time_ms & _LOW, a.skipped)
        for a in answers
    ]
    return VERSION + b"".join(rows)


def unpack_answers(packed: bytes, last_n: int) -> deque[Stored]:
    """Read packed answers; the last one ends with `last_n`, the others lie before it.

    Raises:
        ValueError: the bytes are not of this format.
    """
    version, body = packed[: len(VERSION)], packed[len(VERSION) :]
    row = {VERSION: _ANSWERS, SINGLE: _SINGLE_ANSWER}.get(version)
    if row is None or len(body) % row.size:
        raise ValueError("packed answers have an unknown format")
    rows = list(row.iter_unpack(body))
    if row is _SINGLE_ANSWER:
        rows = [(1, *columns) for columns in rows]
    n = last_n - sum(columns[0] for columns in rows) + 1
    answers: deque[Stored] = deque()
    for count, seq_high, seq_low, ms_high, ms_low, skipped in rows:
        seq, time_ms = seq_high << 32 | seq_low, ms_high << 32 | ms_low
        answers.append(Stored(n, seq, time_ms, skipped, count))
        n += count
    return answers


def pack_marks(marks: dict[int, int]) -> bytes:
    """Write the marks of a segment."""
    return _encode_marks(marks) if marks else b""


def unpack_marks(packed: bytes) -> dict[int, int]:
    """Read the marks of a segment.

    Raises:
        msgspec.DecodeError: the bytes are not of this format.
    """
    return _decode_marks(packed) if packed else {}
