"""Planted bugs: each breaks the promise in one way, switched on only to see that it is caught."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_WITHIN_S: Final = 60.0
"""The bar of docs/reliability.md for a planted bug at each layer that runs in one process. Of
processor time, so that what else the machine does makes no difference."""


class Plant(Struct, frozen=True):
    """A bug.

    Attributes:
        name: short, as on the command line.
        story: what goes wrong, in one line.
        planted: gives the context in which the bug is there.
    """

    name: str
    story: str
    planted: Callable[[], AbstractContextManager[Any]]


def replaced(owner: object, **parts: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Plant by replacing attributes of a class or module."""

    @contextmanager
    def planted() -> Iterator[None]:
        with ExitStack() as stack:
            for name, part in parts.items():
                stack.enter_context(mock.patch.object(owner, name, part))
            yield

    return planted


def together(*plants: Callable[[], AbstractContextManager[Any]]) -> Callable[[], Any]:
    """Plant several things that make one bug."""

    @contextmanager
    def planted() -> Iterator[None]:
        with ExitStack() as stack:
            for plant in plants:
                stack.enter_context(plant())
            yield

    return planted
