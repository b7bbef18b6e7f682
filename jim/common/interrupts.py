"""Ctrl+C while a program is still loading, and from when its event loop runs on.

Python turns SIGINT into an exception wherever the program happens to be. While modules are loaded
that may be inside a callback of the importer, which reports the exception as ignored and goes on:
one Ctrl+C in some hundreds at the start had no effect. Until the loop runs there is nothing to
clean up, so the program just ends; after that `asyncio.run` cancels what is under way.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from jim.common.exits import INTERRUPTED_STATUS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

ResultT = TypeVar("ResultT")


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Let Ctrl+C end the program on the spot, until `run_loop`; later the handler is as before."""
    before = signal.getsignal(signal.SIGINT)
    # In another thread than the main one nothing can be set, and nothing is interrupted.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED_STATUS))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, before)


def run_loop(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine as `asyncio.run` does, which Ctrl+C cancels.

    Raises:
        KeyboardInterrupt: after Ctrl+C.
    """
    import asyncio  # not before it is needed: it takes a third of the time of `jim --version`

    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return asyncio.run(main)


def on_end(react: Callable[[], object]) -> None:
    """Call `react` on SIGTERM and SIGHUP (a closed terminal), where the running loop can do that.

    Windows has no SIGHUP, and its loop no such handlers; outside the main thread there are none.
    """
    import asyncio  # as above

    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            if number is not None:
                loop.add_signal_handler(number, react)
