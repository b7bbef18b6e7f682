"""React to the system's signals: the first request to stop is polite, the second one is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


def listen(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Call `stop` on SIGTERM and SIGINT, `reload` on SIGHUP, in the running loop.

    After the first signal to stop, its kind does again what the system does by default: the second
    one ends the process at once. The store is safe against that.
    """
    loop = asyncio.get_running_loop()

    def stop_once(number: signal.Signals) -> None:
        log.warning("%s: the server goes down", number.name)
        for each in STOPPING:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        stop()

    for number in STOPPING:
        _handle(loop, number, lambda number=number: stop_once(number))  # type: ignore[misc]
    if hasattr(signal, "SIGHUP"):
        _handle(loop, signal.SIGHUP, reload)


def _handle(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, react: Callable[[], None]
) -> None:
    try:
        loop.add_signal_handler(number, react)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(react))
