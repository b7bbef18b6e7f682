"""Make frames that keep to the protocol in everything but one point, from the message types.

Whoever adds a message type gets its torture for nothing. Frames come without their newline.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

from msgspec import Meta, Struct, UnsetType

from jim.protocol import messages as m
from jim.protocol.codec import MAX_DEPTH, encode
from reliability.hostile import corpus, utf8

if TYPE_CHECKING:
    from collections.abc import Iterator


class Case(NamedTuple):
    """A frame to send; `name` says what is odd about it."""

    name: str
    frame: bytes


VALUES: Final = {
    "null": "null",
    "true": "true",
    "false": "false",
    "zero": "0",
    "minus zero": "-0",
    "minus one": "-1",
    "one": "1",
    "2^53 - 1": "9007199254740991",
    "2^53": "9007199254740992",
    "2^63": "9223372036854775808",
    "2^64": "18446744073709551616",
    "-2^63 - 1": "-9223372036854775809",
    "100 digits": "9" * 100,
    "5,000 digits": "9" * 5_000,
    "a fraction": "1.5",
    "one as a fraction": "1.0",
    "one with an exponent": "1e0",
    "an exponent": "1e308",
    "too great an exponent": "1e400",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "nothing": "",
    "an empty text": '""',
    "a letter": '"x"',
    "a number as text": '"1"',
    "a lone surrogate": '"\\ud800"',
    "half of an escape": '"\\u12"',
    "NUL": '"\\u0000"',
    "a long text": '"' + "x" * 6_000 + '"',
    "32 bytes": '"' + "A" * 43 + '="',
    "broken base64": '"' + "A" * 43 + '!"',
    "an empty list": "[]",
    "a list": "[1]",
    "a list of lists": "[[],[]]",
    "an empty object": "{}",
    "an object": '{"a":1}',
    "nesting": "[" * 40 + "]" * 40,
    "an open bracket": "[",
    "a stray brace": "}",
}
"""What is put in the place of every field of every message: as JSON, or as what is none."""

_SAMPLES: Final[dict[Any, Any]] = {
    int: 1,
    str: "mallory",
    bool: True,
    m.RequestId: 7,
    m.Count: 1,
    m.SendNumber: 1,
    m.WireName: "mallory",
    m.DeviceId: "d" * 16,
    m.Bytes32: bytes(32),
    m.Bytes64: bytes(64),
    m.KeyOrNone: b"",
}


def sample(struct: type[Struct]) -> Any:
    """Make a message that is valid by its types, with every field that it can have."""
    hints = get_type_hints(struct, include_extras=True)
    return struct(**{name: _sample_of(hints[name]) for name in struct.__struct_fields__})


def _sample_of(hint: Any) -> Any:
    if hint in _SAMPLES:
        return _SAMPLES[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return [_sample_of(arguments[0])]
    if origin is dict:
        return {_sample_of(arguments[0]): _sample_of(arguments[1])}
    if hasattr(hint, "__metadata__"):
        return _bounded_sample(hint)
    if isinstance(hint, type) and issubclass(hint, Struct):
        return sample(hint)
    return _sample_of(next(option for option in arguments if option is not UnsetType))


def _bounded_sample(hint: Any) -> Any:
    meta = next(each for each in hint.__metadata__ if isinstance(each, Meta))
    plain = _sample_of(hint.__origin__) if hint.__origin__ is not bytes else bytes(32)
    return plain[: meta.max_length] if isinstance(plain, str | bytes) else plain


# --- one message, one fault -----------------------------------------------------------------------


def mutations(union: Any) -> Iterator[Case]:
    """Give every message of a union with every field wrong in every way, missing, or doubled."""
    for struct in get_args(union):
        tag = str(struct.__struct_config__.tag)
        fields: dict[str, Any] = json.loads(encode(sample(struct)))
        yield Case(f"{tag}: as it should be", _join(_pairs(fields)))
        for name in fields:
            yield from _spoiled_field(tag, fields, name)
        yield from _spoiled_whole(tag, fields)


def _spoiled_field(tag: str, fields: dict[str, Any], name: str) -> Iterator[Case]:
    pairs = _pairs(fields)
    for what, text in VALUES.items():
        yield Case(f"{tag}: {what} as {name}", _join({**pairs, name: text}))
    rest = {other: text for other, text in pairs.items() if other != name}
    yield Case(f"{tag}: without {name}", _join(rest))
    doubled = f'"{name}":{pairs[name]}'
    yield Case(f"{tag}: {name} twice", _wrap(doubled, *_lines(pairs)))
    yield Case(f"{tag}: {name} twice, once wrong", _wrap(f'"{name}":null', *_lines(pairs)))
    yield Case(f"{tag}: {name} in capitals", _join({**rest, name.upper(): pairs[name]}))
    escaped = "".join(f"\\u{ord(sign):04x}" for sign in name)
    yield Case(f"{tag}: {name} escaped", _join({**rest, escaped: pairs[name]}))


def _spoiled_whole(tag: str, fields: dict[str, Any]) -> Iterator[Case]:
    pairs, frame = _pairs(fields), _join(_pairs(fields))
    yield Case(f"{tag}: with unknown fields", _join({**pairs, "later": '{"a":[1,{"b":null}]}'}))
    yield Case(f"{tag}: with 5,000 unknown fields", _wide(pairs))
    yield Case(f"{tag}: with an empty name", _join({**pairs, "": "1"}))
    yield Case(f"{tag}: in a list", b"[" + frame + b"]")
    yield Case(f"{tag}: in a text", json.dumps(frame.decode()).encode())
    yield Case(f"{tag}: twice on a line", frame + frame)
    yield Case(f"{tag}: with a comma behind", frame + b",")
    yield Case(f"{tag}: with a carriage return", frame + b"\r")
    yield Case(f"{tag}: in white space", b" \t" + frame + b" \t\r")
    yield Case(f"{tag}: with a NUL behind", frame + b"\0")
    yield Case(f"{tag}: with a byte order mark", b"\xef\xbb\xbf" + frame)
    yield Case(f"{tag}: in UTF-16", frame.decode().encode("utf-16-le"))
    for share in (4, 2):
        yield Case(f"{tag}: cut at 1/{share}", frame[: len(frame) // share])


def _pairs(fields: dict[str, Any]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in fields.items()}


def _lines(pairs: dict[str, str]) -> list[str]:
    return [f'"{name}":{text}' for name, text in pairs.items()]


def _wrap(*lines: str) -> bytes:
    return ("{" + ",".join(lines) + "}").encode()


def _join(pairs: dict[str, str]) -> bytes:
    return _wrap(*_lines(pairs))


def _wide(pairs: dict[str, str]) -> bytes:
    return _join({**{f"f{number}": "0" for number in range(5_000)}, **pairs})


# --- frames that are no message at all ------------------------------------------------------------


def strangers() -> Iterator[Case]:
    """Give what other protocols, tools and slips of the hand send."""
    yield Case("no action", b'{"id":7}')
    yield Case("an unknown action", b'{"action":"fly","id":7}')
    yield Case("an action with a capital", b'{"action":"Probe","id":7}')
    yield Case("an action that ends in NUL", b'{"action":"probe\\u0000","id":7}')
    yield Case("a long unknown action", b'{"action":"' + b"x" * 4_000 + b'","id":7}')
    yield Case("an action of the other side", b'{"action":"welcome","id":7}')
    yield Case("HTTP", b"GET / HTTP/1.1\r")
    yield Case("TLS inside of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    yield Case("IRC", b"NICK mallory\r")
    yield Case("a shell", b"$(reboot); `reboot`")
    yield Case("all bytes", bytes(byte for byte in range(256) if byte != 0x0A))
    yield Case("zeros", bytes(2_000))


def empty_lines() -> Iterator[Case]:
    """Give what the protocol says to ignore."""
    for number, frame in enumerate((b"", b"\r", b" ", b"\t\r", b" " * 500)):
        yield Case(f"empty line {number}", frame)


def bombs(limit_bytes: int) -> Iterator[Case]:
    """Give frames of up to the greatest size that cost their reader as much as they can."""
    probe = b'{"action":"probe","id":7,"x":'
    room = limit_bytes - len(probe) - 1
    for levels in (MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 200, room // 2):
        for opened, closed in ((b"[", b"]"), (b'{"":', b"}")):
            levels_here = min(levels, room // (len(opened) + len(closed) + 1))
            nest = opened * levels_here + b"0" + closed * levels_here
            yield Case(f"nested {levels_here} levels of {opened.decode()}", probe + nest + b"}")
    yield Case("only opening brackets", b"[" * limit_bytes)
    yield Case("only opening braces", b'{"":' * (limit_bytes // 4))
    yield Case("only quotes", b'"' * limit_bytes)
    yield Case("only backslashes in a text", probe + b'"' + b"\\" * (room - 2) + b'"}')
    yield Case("brackets in a text", probe + b'"' + b"[" * (room - 2) + b'"}')
    yield Case("a number of the greatest size", probe + b"9" * room + b"}")
    yield Case("an id of the greatest size", b'{"action":"probe","id":' + b"9" * (room - 9) + b"}")
    yield Case("a fraction of the greatest size", probe + b"0." + b"1" * (room - 2) + b"}")
    yield Case("a list of the greatest size", probe + b"[" + b"0," * (room // 2 - 2) + b"0]}")
    yield Case("the same name again and again", b"{" + b'"a":0,' * (room // 6) + b'"a":0}')
    yield Case("a text of the greatest size", probe + b'"' + b"x" * (room - 2) + b'"}')
    yield Case("escapes of the greatest size", probe + b'"' + b"\\u0041" * (room // 6 - 1) + b'"}')


def in_a_frame() -> Iterator[Case]:
    """Give the JSON suite and the UTF-8 set inside of an otherwise honest frame, and bare."""
    for case in corpus.json_cases():
        if len(case.content) < 8_000:  # the two giants are among the bombs
            content = case.content.replace(b"\n", b" ")
            yield Case(f"JSON suite: {case.name}", content)
            yield Case(
                f"JSON suite inside: {case.name}", b'{"action":"probe","id":7,"x":%b}' % content
            )
    for odd in utf8.cases():
        yield Case(f"UTF-8 as id: {odd.name}", b'{"action":"probe","id":"%b"}' % odd.content)
        yield Case(f"UTF-8 ignored: {odd.name}", b'{"action":"probe","id":7,"%b":0}' % odd.content)
        yield Case(f"UTF-8 bare: {odd.name}", odd.content)


def naughty_names() -> Iterator[Case]:
    """Give the naughty strings as every kind of name and text that a client may send."""
    for text in corpus.naughty_strings():
        quoted = json.dumps(text).encode()
        for frame in (
            b'{"action":"msg","id":7,"n":1,"to":%b,"message":"hi"}',
            b'{"action":"receipts","id":7,"names":[%b]}',
            b'{"action":%b,"id":7}',
            b'{"action":"probe","id":%b}',
        ):
            yield Case(f"naughty {text[:20]!r}", frame % quoted)


def client_cases(limit_bytes: int) -> list[Case]:
    """Give everything that a client can do wrong within a frame of the greatest size."""
    return [
        *strangers(),
        *empty_lines(),
        *bombs(limit_bytes),
        *in_a_frame(),
        *mutations(m.ClientMessage),
        *naughty_names(),
    ]


def server_cases(limit_bytes: int) -> list[Case]:
    """Give everything that a server can do wrong within a frame of the greatest size."""
    return [
        *strangers(),
        *empty_lines(),
        *bombs(limit_bytes),
        *in_a_frame(),
        *mutations(m.ServerMessage),
        *_naughty_pushes(),
    ]


def _naughty_pushes() -> Iterator[Case]:
    texts = [*corpus.naughty_strings(), *(c.content.decode() for c in utf8.cases() if c.valid)]
    for number, text in enumerate(texts, 1):
        quoted = json.dumps(text).encode()
        yield Case(
            f"pushed: {text[:20]!r}",
            b'{"action":"msg","position":%d,"seq":%d,"from":%b,"device":%b,"n":1,"to":%b,'
            b'"time":%d,"message":%b}'
            % (number, number, quoted, quoted, quoted, 2**53 - number, quoted),
        )
        yield Case(
            f"presence of {text[:20]!r}",
            b'{"action":"presence","name":%b,"online":true,"time":1}' % quoted,
        )
