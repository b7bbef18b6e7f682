"""Keep long pastes out of the edited line: a short mark stands for each until Enter; pure.

Editing and drawing cost time with every key in proportion to the line, so 200 kB in it would make
the prompt stutter. The mark is ordinary text: it can be moved about, and deleting a sign of it
drops the paste.
"""

from __future__ import annotations

from typing import Final

from jim.i18n import _, ngettext_

FOLD_CHARACTERS: Final = 1000
"""About half of an 80 × 24 screen; what is shorter stays editable."""

FOLD_LINES: Final = 8
"""What has more lines would push everything else off a screen of 12 rows."""


class Pastes:
    """The pastes of this run, so that a line called back by ↑ still has its own."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def fold(self, text: str) -> str:
        """Give what to put into the line for a paste: itself, or a mark if it is long."""
        lines = text.count("\n") + 1
        if len(text) <= FOLD_CHARACTERS and lines <= FOLD_LINES:
            return text
        characters = ngettext_("{count} character", "{count} characters", len(text))
        template = _("[paste {number}: {characters}, lines: {lines}]")
        mark = template.format(
            number=len(self._texts) + 1,
            characters=characters.format(count=len(text)),
            lines=lines,
        )
        self._texts[mark] = text
        return mark

    def unfold(self, line: str) -> str:
        """Put the pastes back in the place of their marks."""
        for mark, text in self._texts.items():
            if mark in line:
                line = line.replace(mark, text, 1)
        return line
