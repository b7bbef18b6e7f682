"""Fuzz the codec: any bytes, in any chunks, from either side.

The first bytes choose side, limit and cuts, the rest is the stream. Checked: nothing is raised;
what comes out are messages of that side or errors of the four kinds; any chunking gives the same;
what was taken as a message is JSON by the standard library's judgement too, and survives being
written and read again; no more is held than the limit.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NoReturn

from jim.errors import BadRequest, FrameTooLong, Malformed, UnknownAction
from jim.protocol.codec import FROM_CLIENT, FROM_SERVER, Decoder, Invalid, Parser, encode
from jim.protocol.messages import ClientMessage, ServerMessage
from reliability.hostile.fuzz.choices import Choices, hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SIDES: Final[tuple[tuple[Parser[Any], Any], ...]] = (
    (FROM_CLIENT, ClientMessage),
    (FROM_SERVER, ServerMessage),
)
LIMITS_BYTES: Final = (48, 256, 8 * 1024, 1024 * 1024)
"""Two that short inputs reach, that of the login, and what a client accepts."""

MAX_CUTS: Final = 15
BYTEWISE_BYTES: Final = 400
"""Streams up to here are also fed byte by byte; longer ones would only cost time."""

ERRORS: Final = (Malformed, BadRequest, UnknownAction, FrameTooLong)

DecoderMaker = "Callable[[Parser[Any], int], Decoder[Any]]"


def run(content: bytes, make: Callable[[Parser[Any], int], Decoder[Any]] = Decoder) -> None:
    """Check one input; `make` gives the decoder under test.

    Raises:
        Broken: a property does not hold.
    """
    choices = Choices(content)
    first = choices.byte()
    parser, union = SIDES[first & 1]
    limit_bytes = LIMITS_BYTES[first >> 1 & 3]
    count = choices.byte() % (MAX_CUTS + 1)
    shares = choices.take(count)
    stream = choices.rest() + b"\n"
    cuts = sorted(share * len(stream) // 256 for share in shares)
    check(stream, cuts, parser, union, limit_bytes, make)


def check(
    stream: bytes,
    cuts: Iterable[int],
    parser: Parser[Any],
    union: Any,
    limit_bytes: int,
    make: Callable[[Parser[Any], int], Decoder[Any]] = Decoder,
) -> list[Any]:
    """Feed a stream whole, cut and byte by byte, and check everything; gives what came out.

    Raises:
        Broken: a property does not hold.
    """
    whole = make(parser, limit_bytes)
    items = whole.feed(stream)
    hold(whole.pending_bytes <= limit_bytes, "more is held than the limit")
    bounds = [0, *cuts, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(bounds)]
    _check_chunks(items, pieces, make(parser, limit_bytes), limit_bytes)
    if len(stream) <= BYTEWISE_BYTES:
        single = [stream[place : place + 1] for place in range(len(stream))]
        _check_chunks(items, single, make(parser, limit_bytes), limit_bytes)
    _check_items(items, union)
    _check_frames(stream, items, limit_bytes)
    for item in items:
        if not isinstance(item, Invalid):
            again = make(parser, 1 << 30).feed(encode(item))
            hold(again == [item], f"not what was written: {item!r}, {again!r}")
    return items


def _check_chunks(
    items: list[Any], pieces: list[bytes], decoder: Decoder[Any], limit_bytes: int
) -> None:
    found: list[Any] = []
    for piece in pieces:
        found += decoder.feed(piece)
        hold(decoder.pending_bytes <= limit_bytes, "more is held than the limit")
    shown, expected = list(map(_shown, found)), list(map(_shown, items))
    hold(shown == expected, f"chunking matters: {shown} is not {expected}")


def _shown(item: Any) -> Any:
    """Give what a peer would see of it: errors have no equality of their own."""
    if isinstance(item, Invalid):
        return (item.error.code, item.id, item.error.fatal)
    return item


def _check_items(items: list[Any], union: Any) -> None:
    for place, item in enumerate(items):
        if not isinstance(item, Invalid):
            hold(isinstance(item, union), f"{type(item).__name__} from the wrong side")
            continue
        hold(type(item.error) in ERRORS, f"{type(item.error).__name__} is no error of the codec")
        is_long = isinstance(item.error, FrameTooLong)
        hold(not is_long or place == len(items) - 1, "something after a frame too long")


def _check_frames(stream: bytes, items: list[Any], limit_bytes: int) -> None:
    """Hold every frame against the standard library: one item a frame, in order, and no lie."""
    given = iter(items)
    for frame in stream[:-1].split(b"\n"):
        if len(frame) > limit_bytes:
            last = next(given, None)
            hold(isinstance(last, Invalid) and isinstance(last.error, FrameTooLong), "not too long")
            break
        if not frame or frame.isspace():
            continue
        item = next(given, None)
        hold(item is not None, f"no answer to {frame[:80]!r}")
        if not isinstance(item, Invalid):
            hold(_is_object(frame), f"taken as a message: {frame[:200]!r}")
    hold(next(given, None) is None, "more items than frames")


def _is_object(frame: bytes) -> bool:
    try:
        parsed = json.loads(
            frame.decode("utf-8", "strict"),
            parse_constant=_refuse,
            parse_int=len,
            parse_float=len,
        )
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict)


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which the standard library accepts and RFC 8259 does not know."""
    raise ValueError(constant)
