"""The torture set for UTF-8: sequences that are none, and honest ones that programs stumble over.

Each is a run of bytes to be put into a JSON string. What is valid and what is not follows from the
table of well-formed sequences (Unicode 15.1, table 3-7; RFC 3629, section 4).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Utf8Case(NamedTuple):
    """Bytes for the inside of a JSON string, free of quotes, backslashes and line ends."""

    name: str
    content: bytes
    valid: bool


_INVALID: Final = {
    # more bytes than the code point needs
    "overlong slash, 2 bytes": b"\xc0\xaf",
    "overlong slash, 3 bytes": b"\xe0\x80\xaf",
    "overlong slash, 4 bytes": b"\xf0\x80\x80\xaf",
    "overlong slash, 5 bytes": b"\xf8\x80\x80\x80\xaf",
    "overlong slash, 6 bytes": b"\xfc\x80\x80\x80\x80\xaf",
    "overlong NUL, 2 bytes": b"\xc0\x80",
    "overlong NUL, 3 bytes": b"\xe0\x80\x80",
    "overlong newline": b"\xc0\x8a",
    "overlong quote": b"\xc0\xa2",
    "overlong backslash": b"\xc1\x9c",
    "greatest overlong, 2 bytes": b"\xc1\xbf",
    "greatest overlong, 3 bytes": b"\xe0\x9f\xbf",
    "greatest overlong, 4 bytes": b"\xf0\x8f\xbf\xbf",
    # surrogates have no place in UTF-8, alone or as a pair (CESU-8)
    "first high surrogate": b"\xed\xa0\x80",
    "last high surrogate": b"\xed\xaf\xbf",
    "first low surrogate": b"\xed\xb0\x80",
    "last low surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "pair of surrogates, reversed": b"\xed\xb8\x80\xed\xa0\xbd",
    # beyond U+10FFFF, and forms that RFC 3629 took out
    "first above the range": b"\xf4\x90\x80\x80",
    "lead byte F5": b"\xf5\x80\x80\x80",
    "greatest 4-byte form": b"\xf7\xbf\xbf\xbf",
    "5-byte form": b"\xf8\x88\x80\x80\x80",
    "greatest 5-byte form": b"\xfb\xbf\xbf\xbf\xbf",
    "6-byte form": b"\xfc\x84\x80\x80\x80\x80",
    "greatest 6-byte form": b"\xfd\xbf\xbf\xbf\xbf\xbf",
    "byte FE": b"\xfe",
    "byte FF": b"\xff",
    "bytes FE FF": b"\xfe\xff",
    # cut short
    "1 of 2 bytes": b"\xd0",
    "1 of 3 bytes": b"\xe2",
    "2 of 3 bytes": b"\xe2\x82",
    "1 of 4 bytes": b"\xf0",
    "2 of 4 bytes": b"\xf0\x9f",
    "3 of 4 bytes": b"\xf0\x9f\x98",
    "2 of 3 bytes before a letter": b"\xe2\x82x",
    "3 of 4 bytes before another": b"\xf0\x9f\x98\xd0\xb9",
    "every lead byte of 2, each followed by a space": b" ".join(
        bytes([lead]) for lead in range(0xC0, 0xE0)
    ),
    # continuation without a start
    "lone continuation 80": b"\x80",
    "lone continuation BF": b"\xbf",
    "all continuations": bytes(range(0x80, 0xC0)),
    "one continuation too many": b"\xd0\xb9\x80",
    "Windows-1251": "привет".encode("cp1251"),
    "KOI8-R": "привет".encode("koi8-r"),
    "Latin-1": "naïve café".encode("latin-1"),
    # control characters are well-formed UTF-8, and forbidden in a JSON string (RFC 8259, section 7)
    "raw NUL": b"\x00",
    "raw bell": b"\x07",
    "raw escape": b"\x1b[31m",
    "raw tab": b"\t",
    "last raw control": b"\x1f",
}

_VALID: Final = {
    "first of 2 bytes": "\u0080",
    "last of 2 bytes": "\u07ff",
    "first of 3 bytes": "\u0800",
    "last before the surrogates": "\ud7ff",
    "first after the surrogates": "\ue000",
    "replacement character": "\ufffd",
    "last of 3 bytes": "\uffff",
    "first of 4 bytes": "\U00010000",
    "last code point": "\U0010ffff",
    "noncharacters of the BMP": "\ufdd0\ufdef\ufffe\uffff",
    "noncharacters of all planes": "".join(
        chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)
    ),
    "private use": "\ue000\uf8ff\U000f0000\U0010fffd",
    "unassigned": "\u0378\U000e0fff",
    "byte order mark inside": "a\ufeffb",
    "byte order mark in front": "\ufefftext",
    "delete and C1 controls": "\x7f\x80\x85\x9b31m\x9f",
    "line and paragraph separators": "one\u2028two\u2029three",
    "combining flood": "Z" + "\u0301\u0327\u0489" * 700,
    "combining mark without a base": "\u0301",
    "bidi overrides left open": "abc\u202e\u202d\u2066\u2067\u2068def",
    "bidi isolates closed": "\u2067שלום\u2069 hello \u200f\u200e\u061c",
    "zero-width joiners": "👩\u200d👩\u200d👧\u200d👦 क\u200dष क\u200cष",
    "joiners without anything to join": "\u200d\u200d\u200c\u2060\u180e",
    "variation selectors": "☠\ufe0e☠\ufe0f\U000e0100",
    "flags, one half too many": "🇩🇪🇫🇷🇯",
    "tag characters": "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "skin tones and long emoji": "👋🏽🧑🏿\u200d🤝\u200d🧑🏻",
    "Hangul jamo, composed and not": "한\u1112\u1161\u11ab",
    "canonical order matters": "q\u0307\u0323 q\u0323\u0307",
    "grows in normal form": "ﷺ ŉ ΐ ﬃ ǆ",
    "case changes length": "ß ẞ İ ı ΐ ﬅ",
    "soft hyphen and grapheme joiner": "a\u00adb\u034fc",
    "interlinear annotation": "\ufff9one\ufffatwo\ufffb",
    "musical and invisible signs": "\U0001d173\U0001d17a\u2061\u2064\u206f",
    "widest and narrowest": "﷽\u3000\u200a𒐫",
}


def cases() -> tuple[Utf8Case, ...]:
    """Give every case, the invalid ones first."""
    invalid = [Utf8Case(name, content, valid=False) for name, content in _INVALID.items()]
    valid = [Utf8Case(name, text.encode(), valid=True) for name, text in _VALID.items()]
    return (*invalid, *valid)
