"""How far a long piece of work has come, in one line of standard error that overwrites itself."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

from jim.i18n import _

if TYPE_CHECKING:
    from types import TracebackType

PATIENCE_S: Final = 1.0
"""Before anything is shown: what is over by then needs no progress."""

STEP_S: Final = 0.2
"""Between two numbers: more often nobody can read them."""


class Progress:
    """Shows percents while somebody looks, and nothing elsewhere."""

    def __init__(self) -> None:
        """Begin now."""
        self._next_s = time.monotonic() + PATIENCE_S
        self._shown = ""

    def __call__(self, done: int, total: int) -> None:
        """Take how much of how much is done."""
        now_s = time.monotonic()
        if now_s < self._next_s or not sys.stderr.isatty():
            return
        self._next_s = now_s + STEP_S
        percent = 100 * done // max(1, total)
        self._shown = _("{percent} percent done").format(percent=percent)
        sys.stderr.write(f"\r{self._shown}")
        sys.stderr.flush()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the line away, if there is one: what comes next says how it went."""
        if self._shown:
            sys.stderr.write(f"\r{' ' * len(self._shown)}\r")
            sys.stderr.flush()
