"""Lines to show: text in spans with a style each; pure, and free of any UI library.

Whoever makes a span has made its text safe (`jim.client.console.text`). A style never carries
meaning alone: without colours the same line says the same.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Style(Enum):
    """How a span looks where colours are possible."""

    PLAIN = "plain"
    NAME = "name"
    """Who says something."""
    DIM = "dim"
    """Remarks of the program."""
    STRONG = "strong"
    """What must not be overlooked."""
    BAD = "bad"
    """What went wrong."""


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]


def line(text: str, style: Style = Style.PLAIN) -> Line:
    """Make a line of one span."""
    return (Span(text, style),)


def as_text(shown: Line) -> str:
    """Give the line without its styles."""
    return "".join(span.text for span in shown)
