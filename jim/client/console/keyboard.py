"""Map what was typed on the wrong keyboard layout: ЙЦУКЕН keys to QWERTY letters and back.

Pure; a mapping of keys, not a list of words, so every command is found on either layout.
"""

from __future__ import annotations

from typing import Final

_QWERTY: Final = "`qwertyuiop[]asdfghjkl;'zxcvbnm,./"
_JCUKEN: Final = "ёйцукенгшщзхъфывапролджэячсмитьбю."
_QWERTY_SHIFTED: Final = '~QWERTYUIOP{}ASDFGHJKL:"ZXCVBNM<>?'
_JCUKEN_SHIFTED: Final = "ЁЙЦУКЕНГШЩЗХЪФЫВАПРОЛДЖЭЯЧСМИТЬБЮ,"

_TO_QWERTY: Final = str.maketrans(_JCUKEN + _JCUKEN_SHIFTED, _QWERTY + _QWERTY_SHIFTED)
_TO_JCUKEN: Final = str.maketrans(_QWERTY + _QWERTY_SHIFTED, _JCUKEN + _JCUKEN_SHIFTED)

SLASH_KEYS: Final = "/."
"""What the key of `/` gives on the two layouts; on the Russian one `/` is Shift and another key."""


def to_qwerty(text: str) -> str:
    """Give what the same keys write on the English layout: `учше` is `exit`."""
    return text.translate(_TO_QWERTY)


def to_jcuken(text: str) -> str:
    """Give what the same keys write on the Russian layout: `ds[jl` is `выход`."""
    return text.translate(_TO_JCUKEN)


def spellings(word: str) -> tuple[str, ...]:
    """List the word as it stands, then as either layout would have written it, without repeats."""
    return tuple(dict.fromkeys((word, to_qwerty(word), to_jcuken(word))))
