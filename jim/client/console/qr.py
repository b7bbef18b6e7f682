"""A QR picture in the terminal: two rows of squares in one line of text, by half blocks."""

from __future__ import annotations

from typing import Final

import segno

HALVES: Final = ("█", "▀", "▄", " ")
"""For a light square above a light one, light above dark, dark above light, dark above dark. Light
is drawn, because most terminals are dark; on a light one the picture is inverted, which scanners of
today read too."""

BORDER: Final = 2
"""Light squares around the picture: half of what ISO 18004 wants; scanners need less, and so it
fits beside other text."""


def qr_lines(text: str, *, blocks: bool = True) -> list[str]:
    """Draw a text, as narrow as it can be; without `blocks` just the text, for plain terminals.

    Text of digits, capital letters and ` $%*+-./:` alone takes the least room (alphanumeric mode).
    """
    if not blocks:
        return [text]
    code = segno.make(text, micro=False, error="m", boost_error=False)
    rows = [[bool(square) for square in row] for row in code.matrix_iter(border=BORDER)]
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    return [_line(upper, lower) for upper, lower in zip(rows[::2], rows[1::2], strict=True)]


def _line(upper: list[bool], lower: list[bool]) -> str:
    return "".join(HALVES[2 * above + below] for above, below in zip(upper, lower, strict=True))
