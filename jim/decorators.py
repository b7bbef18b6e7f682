"""Log the calls of functions, as the seed's decorator did; never what they were called with."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

P = ParamSpec("P")
R = TypeVar("R")

_CALLER = 2
"""Stack level of whoever called the wrapper: the line's module and function columns name them."""


def log_calls(function: Callable[P, R]) -> Callable[P, R]:
    """Log each call of a function or coroutine function, and the class of what it raises, at DEBUG.

    The line says which function was called; its module and function columns say from where
    (for a coroutine that is a task of its own: from the event loop). Arguments appear as the names
    of their types only, because a value may hold a message or a key; of an exception, only the
    class. Records go to the logger of the function's own module.

    Measured cost of a call (CPython 3.11, a shared x86-64 core, median of 7): about 90 ns while
    DEBUG is off, about 8 µs while it is on (queued for the writer's thread). Reproduce with
    `python -m benchmarks.log_calls`. Not for the path of every message.
    """
    logger = logging.getLogger(function.__module__)
    name = function.__qualname__

    if inspect.iscoroutinefunction(function):
        coroutine_function = cast("Callable[P, Awaitable[object]]", function)

        @functools.wraps(function)
        async def logged_coroutine(*args: P.args, **kwargs: P.kwargs) -> object:
            if not logger.isEnabledFor(logging.DEBUG):
                return await coroutine_function(*args, **kwargs)
            logger.debug("called %s(%s)", name, _types(args, kwargs), stacklevel=_CALLER)
            try:
                return await coroutine_function(*args, **kwargs)
            except BaseException as error:
                logger.debug("%s raised %s", name, type(error).__name__, stacklevel=_CALLER)
                raise

        return cast("Callable[P, R]", logged_coroutine)

    @functools.wraps(function)
    def logged(*args: P.args, **kwargs: P.kwargs) -> R:
        if not logger.isEnabledFor(logging.DEBUG):
            return function(*args, **kwargs)
        logger.debug("called %s(%s)", name, _types(args, kwargs), stacklevel=_CALLER)
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            logger.debug("%s raised %s", name, type(error).__name__, stacklevel=_CALLER)
            raise

    return logged


def _types(args: tuple[object, ...], kwargs: dict[str, object]) -> str:
    """Describe arguments without their values: "Hub, str, int n"."""
    positional = [type(value).__name__ for value in args]
    named = [f"{type(value).__name__} {key}" for key, value in kwargs.items()]
    return ", ".join(positional + named)
