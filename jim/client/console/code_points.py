"""Say which code points a terminal may be shown, and in which company.

Tables and predicates over single characters, nothing else: `text` applies them. The categories
come from the interpreter's Unicode database, so a character newer than it counts as unassigned and
is shown by its number; only emoji, of which every Unicode version adds some, are looked up in
wcwidth's newer table as well.
"""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

import wcwidth

ZWNJ: Final = "\u200c"
ZWJ: Final = "\u200d"

EMOJI: Final = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff"
)
"""Regular expression class of the bases of emoji sequences, in whole blocks (UTS #51, annex A lists
the single code points): regional indicators and skin tones are left out, symbols that are no emoji
are let in, because a joiner between two visible symbols hides nothing."""

SKIN_TONES: Final = "\U0001f3fb-\U0001f3ff"
"""Regular expression class of the five Fitzpatrick modifiers (UTS #51, 2.4)."""

_EMOJI_BLOCKS: Final = range(0x1F300, 0x1FB00)
"""Where new emoji are added (UTS #51, 1.4.3: reserved for Extended_Pictographic)."""

_CONJOINING_JAMO: Final = (range(0x1160, 0x1200), range(0xD7B0, 0xD800))
"""Hangul vowels and finals: letters by category, but drawn onto the syllable before them."""

_PREPENDED: Final = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
"""Number and verse signs of Arabic and Syriac: format characters with a shape of their own
(property Prepended_Concatenation_Mark)."""

_BLANK: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0\U00016fe4\U0001d159"
)
"""Letters, marks and symbols without any shape: joiner, fillers, Mongolian selectors, null note."""

_VARIATION_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))

_JOINING_SCRIPTS: Final = (
    range(0x0600, 0x0E00),  # Arabic, Syriac, N'Ko, Mandaic, the scripts of India, Sinhala
    range(0x1000, 0x10A0),  # Myanmar
    range(0x1780, 0x18B0),  # Khmer, Mongolian
    range(0x1B00, 0x1C50),  # Balinese, Sundanese, Batak, Lepcha
    range(0xA840, 0xAA00),  # Phags-pa, Saurashtra, Devanagari extended, Javanese, Myanmar extended
    range(0xFB50, 0xFE00),  # Arabic presentation forms A
    range(0xFE70, 0xFEFD),  # Arabic presentation forms B
    range(0x11000, 0x12000),  # further scripts of India
)
"""Where ZWNJ and ZWJ choose between letter forms (RFC 5892, appendices A.1 and A.2)."""


@functools.lru_cache(maxsize=4096)
def is_shown(char: str) -> bool:
    """Tell whether the character has a shape, moves nothing and may stand anywhere.

    Joiners, variation selectors and tags are not shown by themselves; the sequences in which they
    may stand are `text`'s business.
    """
    category = unicodedata.category(char)
    if category == "Cf":
        return char in _PREPENDED
    if category == "Cn":
        return ord(char) in _EMOJI_BLOCKS and wcwidth.wcwidth(char) > 0
    if category in {"Cc", "Cs", "Co", "Zl", "Zp"} or char in _BLANK:
        return False
    return not any(ord(char) in block for block in _VARIATION_SELECTORS)


@functools.lru_cache(maxsize=4096)
def is_mark(char: str) -> bool:
    """Tell whether the character is drawn onto the one before it."""
    if unicodedata.category(char).startswith("M"):
        return True
    return any(ord(char) in block for block in _CONJOINING_JAMO)


@functools.lru_cache(maxsize=4096)
def is_space(char: str) -> bool:
    """Tell whether the character is a blank, on which a mark finds no base."""
    return unicodedata.category(char) == "Zs"


@functools.lru_cache(maxsize=4096)
def takes_joiner(char: str) -> bool:
    """Tell whether ZWNJ or ZWJ after the character means something in its script."""
    if unicodedata.category(char)[0] not in "LM":
        return False
    return any(ord(char) in block for block in _JOINING_SCRIPTS)
