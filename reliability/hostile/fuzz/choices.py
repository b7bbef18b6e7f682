"""Turn the bytes of a fuzzer into choices: a program that any mutation leaves valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Broken(AssertionError):
    """A property does not hold."""


def hold(condition: object, what: str) -> None:
    """Check a property, whatever the interpreter's flags.

    Raises:
        Broken: it does not hold.
    """
    if not condition:
        raise Broken(what)


class Choices:
    """Reads bytes from the front; after their end every choice is the first one."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    @property
    def left(self) -> int:
        """How many bytes there are still."""
        return len(self._content) - self._place

    def byte(self) -> int:
        """Give the next byte, 0 after the end."""
        if self._place >= len(self._content):
            return 0
        value = self._content[self._place]
        self._place += 1
        return value

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of at most 256 options."""
        return options[self.byte() % len(options)]

    def take(self, size: int) -> bytes:
        """Give up to `size` bytes."""
        taken = self._content[self._place : self._place + size]
        self._place += len(taken)
        return taken

    def rest(self) -> bytes:
        """Give everything that is left."""
        return self.take(self.left)
