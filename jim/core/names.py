"""Decide what is a name, when two spellings are one name, and when two names look alike.

It never asks whether a name is taken: that is the store's, which keeps `normalise` and `skeleton`
of every account unique. Why this library and these rules: docs/adr/0010-names.md.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import Final, NamedTuple

from confusable_homoglyphs.categories import alias
from confusable_homoglyphs.utils import load
from precis_i18n import get_profile

from jim.errors import NameInvalid

MAX_CHARACTERS: Final = 32
"""Code points after mapping: longer ones no longer fit beside a message on an 80-column screen."""

MAX_BYTES: Final = 64
"""UTF-8 bytes after mapping: 32 letters of two bytes, so every Cyrillic or Greek name of 32 fits;
scripts of three bytes get 21 letters. Also far below the 255 bytes of a file name."""

MAX_MARKS: Final = 4
"""Combining marks in a row: UTS 39, 5.4 ("unlikely sequences"), and what clients render."""

RAW_LIMIT: Final = 4 * MAX_CHARACTERS
"""Code points looked at before mapping: decomposed text shrinks, so more than the limit may be
valid; beyond this nobody typed a name, and mapping it would cost time."""

PUNCTUATION: Final = frozenset("-_.")
"""The only signs in a name: all others mean something to a shell, a path, a URL or our commands."""

NAMES_OF_DEVICES: Final = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)]
)
"""File names that Windows keeps for itself; a client keeps a directory per name."""

RESERVED: Final = NAMES_OF_DEVICES | frozenset(
    """
    admin administrator all anonymous bot everyone everybody help here info jim me moderator
    nobody none null official operator postmaster root security server service staff support
    sysadmin system undefined unknown webmaster you аноним администратор админ бот все всем вы
    джим здесь информация модератор никто оператор официально помощь поддержка сервер сервис
    сисадмин система служба техподдержка ты я
    """.split()  # noqa: SIM905 - a list literal would take sixty lines
)
"""Words that would let their owner speak for the service, or that commands use otherwise."""

SHORTEST_GUARDED: Final = 4
"""Letters from which a reserved word also excludes its look-alikes: shorter ones exclude too many
honest names (`ali` looks like `all`)."""

JAPANESE: Final = frozenset({"HAN", "HIRAGANA", "KATAKANA"})
KOREAN: Final = frozenset({"HAN", "HANGUL"})
BOPOMOFO: Final = frozenset({"HAN", "BOPOMOFO"})
WRITING_SYSTEMS: Final = (JAPANESE, KOREAN, BOPOMOFO)
"""Scripts that one writing system mixes (UTS 39, 5.1, augmented script sets Jpan, Kore, Hanb)."""

ANY_SCRIPT: Final = frozenset({"COMMON", "INHERITED"})
"""Digits, signs and marks, which belong to every script (UAX 24)."""

UNKNOWN_SCRIPT: Final = "Unknown"
"""What the library says of characters younger than its data (Unicode 15.1): refused."""

UNSEEN_MARKS: Final = {"l\u0307": "l", "j\u0307": "j", "e\u0308": "e"}
"""Marks that readers do not see or writers leave out: a dot on a letter that has one already
(UTS 39, 5.4; `i` is `l` by then) and the two dots of `ё`."""

LOOKUPS: Final = 8192
"""Spellings remembered by `lookup_key`, about 200 bytes each: the busy names of a large server."""

ROUNDS: Final = 8
"""Bound of the fixed-point iteration in `skeleton`; the data of Unicode 15.1 needs three."""

_profile = get_profile("UsernameCaseMapped")


class Claim(NamedTuple):
    """What a new account must have unique: its name and the look of it."""

    name: str
    skeleton: str


def normalise(raw: str) -> str:
    """Map a spelling to the one name that it means: PRECIS UsernameCaseMapped (RFC 8265), in NFC.

    The result holds letters, marks, digits of one system and, inside, `-_.`; applying it again
    changes nothing.

    Raises:
        NameInvalid: with `reason` empty, too_long, characters, mixed_script, reserved or no_letter.
    """
    if not raw.strip():
        raise NameInvalid(reason="empty")
    if len(raw) > RAW_LIMIT:
        raise NameInvalid(reason="too_long")
    name = _mapped(raw)
    if len(name) > MAX_CHARACTERS or len(name.encode()) > MAX_BYTES:
        raise NameInvalid(reason="too_long")
    _check_characters(name)
    _check_scripts(name)
    if name in RESERVED:
        raise NameInvalid(reason="reserved")
    return name


@lru_cache(maxsize=LOOKUPS)
def lookup_key(raw: str) -> str:
    """Give `normalise(raw)`, remembered for the spellings used last (10 µs, from memory 0.1 µs).

    Raises:
        NameInvalid: as `normalise`; failures are not remembered.
    """
    return normalise(raw)


def claim(raw: str) -> Claim:
    """Give what a registration has to claim; also refuses look-alikes of reserved words.

    Raises:
        NameInvalid: as `normalise`.
    """
    name = normalise(raw)
    look = skeleton(name)
    if look in _reserved_skeletons():
        raise NameInvalid(reason="reserved")
    return Claim(name, look)


def skeleton(name: str) -> str:
    """Map a normalised name to its look: names that can be taken for each other get the same text.

    UTS 39, section 4 (NFD, prototypes, NFD), with three additions. Case mapping asks for two:
    prototypes are lower-cased, so that `0` meets `o`; and `i` meets `l`, because a spelling
    `paypaI` reaches `paypai` but looks like `paypal`. The third is Russian spelling: `ё` meets `е`,
    as people write both. Only for comparison, never for display. Applying it again changes nothing,
    and it depends on nothing but the name and the library's data.
    """
    look = name
    for _ in range(ROUNDS):
        before, look = look, _step(look)
        if look == before:
            break
    return look


def _mapped(raw: str) -> str:
    try:
        return str(_profile.enforce(raw))
    except UnicodeEncodeError:  # the library's way to say "not allowed"
        raise NameInvalid(reason="characters") from None


def _check_characters(name: str) -> None:
    """Allow letters, marks, digits of one system and inner punctuation; demand a letter."""
    kinds = [unicodedata.category(character) for character in name]
    pairs = zip(kinds, name, strict=True)
    if not all(kind[0] in "LM" or kind == "Nd" or sign in PUNCTUATION for kind, sign in pairs):
        raise NameInvalid(reason="characters")
    if name[0] in PUNCTUATION or name[-1] in PUNCTUATION or kinds[0][0] == "M":
        raise NameInvalid(reason="characters")
    if not any(k[0] == "L" for k in kinds):
        raise NameInvalid(reason="no_letter")
    if _longest_run_of_marks(name) > MAX_MARKS:
        raise NameInvalid(reason="characters")


def _longest_run_of_marks(name: str) -> int:
    longest = run = 0
    for character in unicodedata.normalize("NFD", name):
        run = run + 1 if unicodedata.category(character)[0] == "M" else 0
        longest = max(longest, run)
    return longest


def _check_scripts(name: str) -> None:
    """Demand one script, or the scripts of one writing system, and digits of one system."""
    scripts = {alias(character) for character in name} - ANY_SCRIPT
    if UNKNOWN_SCRIPT in scripts:
        raise NameInvalid(reason="characters")
    if len(scripts) > 1 and not any(scripts <= system for system in WRITING_SYSTEMS):
        raise NameInvalid(reason="mixed_script")
    zeros = {ord(c) - unicodedata.decimal(c) for c in name if unicodedata.category(c) == "Nd"}
    if len(zeros) > 1:
        raise NameInvalid(reason="mixed_script")


def _step(text: str) -> str:
    table = _prototypes()
    decomposed = unicodedata.normalize("NFD", text)
    mapped = "".join(table.get(character, character) for character in decomposed)
    # One character at a time: str.lower() of a whole word treats a final sigma by its place.
    lowered = "".join(character.lower() for character in unicodedata.normalize("NFD", mapped))
    folded = lowered.replace("i", "l")
    for seen, plain in UNSEEN_MARKS.items():
        folded = folded.replace(seen, plain)
    return folded


@cache
def _prototypes() -> dict[str, str]:
    """Rebuild the map of confusables.txt from the library's data, on first use (25 ms).

    The library keeps every pair of the file in both directions and forgets which side was the
    prototype. A source is one code point and has one prototype, so a side that is longer, or has
    several partners, is the prototype. In a pair with neither, the library wrote the source first.
    """
    pairs: dict[str, list[dict[str, str]]] = load("confusables.json")
    order = {side: place for place, side in enumerate(pairs)}
    table: dict[str, str] = {}
    for side, partners in pairs.items():
        if len(partners) > 1 or len(_bare(side)) > 1:
            continue
        other = partners[0]["c"]
        if len(_bare(other)) > 1 or len(pairs[other]) > 1 or order[side] < order[other]:
            table[_bare(side)] = _bare(other)
    return table


def _bare(side: str) -> str:
    """Drop the direction marks that the file puts around right-to-left characters for display."""
    return side.replace("\u200e", "")


@cache
def _reserved_skeletons() -> frozenset[str]:
    return frozenset(skeleton(word) for word in RESERVED if len(word) >= SHORTEST_GUARDED)
