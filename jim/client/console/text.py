"""Make remote text harmless for a terminal, and measure and break it by cells.

Every string that came from a peer, the server or a file passes through `safe_line`, `safe_block`,
`safe_name` or `wrap` before any renderer sees it. What a terminal would obey, hide or reorder
becomes a visible mark such as `‹1B›`; nothing that could change the meaning disappears. All
functions take any `str`, never raise, give the same when applied twice, and look at each character
a bounded number of times. This module knows no renderer and writes nothing.

Widths follow wcwidth, that is terminals that draw an emoji sequence as one glyph. For those that do
not (`legacy=True`), the joining characters are dropped from what is displayed, never from what is
stored: after that, the widths of such terminals agree with ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import wcwidth

from jim.client.console.code_points import (
    EMOJI,
    SKIN_TONES,
    ZWJ,
    ZWNJ,
    is_mark,
    is_shown,
    is_space,
    takes_joiner,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MARKS: Final = 4
"""Combining marks a base may carry (security.md, "Limits"); living languages need three."""

TAB_CELLS: Final = 4
"""Distance of the tab stops: pasted code stays readable in a narrow chat column (our choice)."""

ELLIPSIS: Final = "…"
NEWLINE_SIGN: Final = "↵"
DOTTED_CIRCLE: Final = "◌"
"""The customary base for a combining mark that has none (Unicode standard, section 2.11)."""

_PLAIN = "[ -~\xa0-\xac\xae-\u02ff\u0400-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e]"
_ELEMENT = f"[{EMOJI}](?:[\ufe0e\ufe0f]|[{SKIN_TONES}])?"
_TOKEN = re.compile(
    r"(?P<newline>\r?\n)|(?P<tab>\t)"
    "|(?P<whole>[0-9#*]\ufe0f?\u20e3"  # key caps
    "|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f"  # flags of regions
    f"|{_ELEMENT}(?:{ZWJ}{_ELEMENT}){{0,3}})"  # the longest emoji in use join four (UTS #51)
    f"|(?P<plain>{_PLAIN}+(?![\ufe0e\ufe0f\u20e3]))|(?P<char>.)",
    re.DOTALL,
)
_ALL_PLAIN = re.compile(f"{_PLAIN}*")
_COMPANIONS = re.compile("[\u200d\ufe0e\ufe0f\U000e0030-\U000e007f]")
"""What is shown only as part of a whole: joiner, emoji and text selectors, tags."""
_LEGACY_DROPS = re.compile(f"[{ZWJ}\ufe0f]|(?<=[{EMOJI}])[{SKIN_TONES}]")
_WORDS = re.compile(" +|[^ ]+")


def safe_line(text: str) -> str:
    """Return the text on one line, nothing in it that a terminal obeys; newlines become `↵`."""
    return _clean(text, newline=NEWLINE_SIGN)


def safe_block(text: str) -> str:
    """Return the text with its newlines, with nothing else in it that a terminal obeys."""
    return _clean(text, newline="\n")


def safe_name(text: str, width: int) -> str:
    """Return a name on one line of at most `width` cells, ended by `…` where it was cut."""
    return cut(safe_line(text), width)


def display_text(text: str, *, legacy: bool = False) -> str:
    """Return what to paint: on legacy terminals without ZWJ, emoji selector and skin tones."""
    return _LEGACY_DROPS.sub("", text) if legacy else text


def cell_width(text: str, *, legacy: bool = False) -> int:
    """Return how many cells the text takes on one line; control characters count nothing."""
    shown = display_text(text, legacy=legacy)
    width = wcwidth.wcswidth(shown)
    return width if width >= 0 else sum(max(0, wcwidth.wcwidth(char)) for char in shown)


def cut(text: str, width: int, *, legacy: bool = False) -> str:
    """Return safe text of at most `width` cells, ended by `…` where something had to go."""
    shown = display_text(text, legacy=legacy)
    if cell_width(shown) <= width:
        return shown
    kept: list[str] = []
    left = width - 1
    for piece in _pieces(shown, max(left, 1)):
        left -= cell_width(piece)
        if left < 0:
            break
        kept.append(piece)
    return "".join(kept).rstrip(" ") + ELLIPSIS if width > 0 else ""


def wrap(text: str, width: int, indent: int = 0, *, legacy: bool = False) -> list[str]:
    """Break any text into lines of at most `width` cells, with a hanging indent.

    Args:
        text: remote or local text; it is made safe here too, so no line can attack the terminal.
        width: cells of a line, at least 1. A character wider than a whole line becomes `…`.
        indent: cells left free before every line but the first, at most half the width.
        legacy: whether the terminal draws emoji sequences piece by piece.

    Returns:
        At least one line; spaces at a break are dropped.
    """
    width = max(1, width)
    margin = " " * min(max(0, indent), width // 2)
    lines: list[str] = []
    for paragraph in display_text(safe_block(text), legacy=legacy).split("\n"):
        _wrap_paragraph(paragraph, width, margin, lines)
    return lines


def _wrap_paragraph(paragraph: str, width: int, margin: str, lines: list[str]) -> None:
    line = _Line(margin if lines else "", width)
    for word in _WORDS.findall(paragraph):
        if line.takes(word):
            continue
        if word[0] == " ":
            line.close()
            continue
        whole = cell_width(word) <= width - len(margin)
        for piece in [word] if whole else _pieces(word, width - len(margin)):
            if not line.takes(piece):
                lines.append(line.text())
                line = _Line(margin, width)
                line.takes(piece)
    lines.append(line.text())


class _Line:
    """A line that is being filled."""

    def __init__(self, margin: str, width: int) -> None:
        self._parts = [margin]
        self._left = width - len(margin)

    def takes(self, piece: str) -> bool:
        """Append the piece if it fits."""
        cells = cell_width(piece)
        if cells > self._left:
            return False
        self._left -= cells
        self._parts.append(piece)
        return True

    def close(self) -> None:
        """Take nothing further: the spaces of a break do not fit and are dropped."""
        self._left = 0

    def text(self) -> str:
        return "".join(self._parts).rstrip(" ")


def _pieces(text: str, width: int) -> Iterator[str]:
    """Yield what must stay together.

    A cluster wider than a line is taken apart: without its marks and joiners, which would otherwise
    change a stranger; what still does not fit becomes `…`.
    """
    for cluster in _clusters(text):
        if cell_width(cluster) <= width:
            yield cluster
        else:
            for char in filter(cell_width, cluster):
                yield char if cell_width(char) <= width else ELLIPSIS


def _clusters(text: str) -> Iterator[str]:
    """Yield grapheme clusters; spacing marks that Unicode lets stand alone stay with their base."""
    held = ""
    for cluster in wcwidth.iter_graphemes(text):
        if held and not is_mark(cluster[0]):
            yield held
            held = ""
        held += cluster
    if held:
        yield held


def _clean(text: str, newline: str) -> str:
    if _ALL_PLAIN.fullmatch(text):
        return text
    return _Cleaner(newline).clean(text)


class _Cleaner:
    """One pass over one text, remembering what the next character would attach itself to."""

    def __init__(self, newline: str) -> None:
        self._newline = newline
        self._out: list[str] = []
        self._previous = ""  # the character that a joiner or mark would change; "" for none
        self._marks = 0  # marks on the current base
        self._excess = 0  # marks left out since
        self._column = 0  # cells of the line up to out[_measured]
        self._measured = 0

    def clean(self, text: str) -> str:
        for token in _TOKEN.finditer(text):
            kind, value = token.lastgroup, token.group()
            if kind == "char" and is_mark(value) and is_shown(value):
                self._add_mark(value)
                continue
            self._end_of_marks()
            if kind == "char":
                self._add_char(value)
            elif kind == "tab":
                self._add_tab()
            elif kind == "newline":
                self._add_newline()
            elif kind == "whole":
                self._add_whole(value)
            else:
                self._add_base(value)
        self._end_of_marks()
        return "".join(self._out)

    def _add_base(self, value: str) -> None:
        self._out.append(value)
        self._previous = "" if is_space(value[-1]) else value[-1]
        self._marks = int(is_mark(value[-1]))  # a key cap carries one already

    def _add_whole(self, sequence: str) -> None:
        if all(is_shown(char) for char in _COMPANIONS.sub("", sequence)):
            self._add_base(sequence)
        else:  # the blocks of the emoji have unassigned places too
            for char in sequence:
                self._add_char(char)

    def _add_char(self, char: str) -> None:
        if is_shown(char):
            self._add_base(char)
        elif char in {ZWNJ, ZWJ} and self._previous and takes_joiner(self._previous):
            self._out.append(char)
            self._previous = char
        else:
            self._replace(f"‹{ord(char):02X}›")

    def _add_mark(self, mark: str) -> None:
        if self._excess or (self._previous and self._marks >= MAX_MARKS):
            self._excess += 1
            return
        if not self._previous:
            self._add_base(DOTTED_CIRCLE)
        self._out.append(mark)
        self._previous = mark
        self._marks += 1

    def _end_of_marks(self) -> None:
        if self._excess:
            self._replace(f"‹+{self._excess}›")
            self._excess = 0

    def _replace(self, visible: str) -> None:
        self._out.append(visible)
        self._previous = ""

    def _add_newline(self) -> None:
        self._replace(self._newline)
        if self._newline == "\n":
            self._column, self._measured = 0, len(self._out)

    def _add_tab(self) -> None:
        self._column += cell_width("".join(self._out[self._measured :]))
        spaces = TAB_CELLS - self._column % TAB_CELLS
        self._replace(" " * spaces)
        self._column += spaces
        self._measured = len(self._out)
