"""Make messages of a client from a fuzzer's choices: every type, every field from a small pool.

Values are valid by type, rarely by meaning; `spoil` makes frames that are not even that.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin, get_type_hints

from msgspec import UNSET, Meta, Struct, UnsetType

from jim.protocol import messages as m
from jim.protocol.codec import encode

if TYPE_CHECKING:
    from reliability.hostile.fuzz.choices import Choices

TYPES: Final[tuple[type[Struct], ...]] = get_args(m.ClientMessage)

NUMBERS: Final = (0, 1, 2, 3, 4, 64, 65, 1000, 2**31, 2**53 - 1)
NAMES: Final = (
    "alice",
    "bob",
    "carol",
    "nobody",
    "ALICE",
    "а\u0301",
    "\x00",
    "a" * 128,
    "x y",
    "㎯",
)
TEXTS: Final = ("", "hi", "привет", "\x00\u2028\U0010ffff", "x" * 300, "x" * 5_000, "\n\r", '"\\')
NAMES_IN_A_LIST: Final = 5

JUNK: Final = (
    *("null", "true", "-1", "0", "1.5", "1e400", "NaN", "-Infinity", "9007199254740992"),
    *("[]", "{}", '""', '"x"', '"\\ud800"', "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]"),
    *("1" * 30, "{", '"', "", "1 1"),
)
"""Written into a frame in the place of a value."""


def make_message(choices: Choices, request_id: int | str) -> Struct:
    """Make a message of some type; its id, where it has one, is the given one."""
    message: Struct = _make(choices.pick(TYPES), choices)
    if hasattr(message, "id"):
        message.id = request_id
    return message


def spoil(choices: Choices, message: Struct) -> bytes:
    """Write a message with one fault in it; gives the frame with its newline."""
    frame = encode(message)[:-1]
    kind = choices.byte() % 5
    if kind == 0:
        return frame[: choices.byte() * len(frame) // 256] + b"\n"
    if kind == 1:
        place = choices.byte() * len(frame) // 256
        return frame[:place] + choices.take(1 + choices.byte() % 8) + frame[place:] + b"\n"
    fields: dict[str, object] = json.loads(frame)
    name = choices.pick(list(fields))
    if kind == 2:
        del fields[name]
    elif kind == 3:
        fields[name] = "\ue000"
    else:
        fields = {"\ue000": 0, **fields}
        return (
            json.dumps(fields).replace('"\\ue000": 0', f'"{name}": {_junk(choices)}').encode()
            + b"\n"
        )
    return json.dumps(fields).replace('"\\ue000"', _junk(choices)).encode() + b"\n"


def _junk(choices: Choices) -> str:
    return choices.pick(JUNK)


def _make(struct: type[Struct], choices: Choices) -> Any:
    return struct(**{name: _value(hint, choices) for name, hint in _fields(struct)})


@cache
def _fields(struct: type[Struct]) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(struct, include_extras=True)
    return tuple((name, hints[name]) for name in struct.__struct_fields__)


def _value(hint: Any, choices: Choices) -> Any:
    """Choose a value of the type."""
    if hint in _POOLS:
        return choices.pick(_POOLS[hint])
    if get_origin(hint) is list:
        return _list(get_args(hint)[0], choices)
    if hasattr(hint, "__metadata__"):
        return _bounded(hint, choices)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _make(hint, choices)
    options = [option for option in get_args(hint) if option is not UnsetType]
    if UnsetType in get_args(hint) and choices.byte() % 2:
        return UNSET
    return _value(choices.pick(options), choices)


def _list(item: Any, choices: Choices) -> list[Any]:
    return [_value(item, choices) for _ in range(choices.byte() % NAMES_IN_A_LIST)]


def _bounded(hint: Any, choices: Choices) -> Any:
    meta = next(each for each in hint.__metadata__ if isinstance(each, Meta))
    base = hint.__origin__
    if base is bytes:
        size = meta.max_length or 0
        fill = choices.byte()
        return bytes([fill]) * (size if meta.min_length or fill % 2 else 0)
    if base is str:
        return choices.pick(TEXTS)[: meta.max_length].ljust(meta.min_length or 0, "x")
    if base is int:
        return max(meta.ge or 0, choices.pick(NUMBERS))
    return _value(base, choices)


_POOLS: Final[dict[Any, tuple[Any, ...]]] = {
    str: TEXTS,
    bool: (False, True),
    int: NUMBERS,
    m.WireName: NAMES,
    m.RequestId: (0, 1, "a", "b" * 64, 2**53 - 1),
}
