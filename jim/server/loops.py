"""Prepare event loop, garbage collector and allocator for many long-lived connections."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import ctypes
import gc
import sys
from typing import TYPE_CHECKING, Final

from jim.errors import SettingsError
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Callable

TLS_READ_BYTES: Final = 16 * 1024
"""One TLS record. asyncio reads into a buffer of 256 KiB per connection, which makes an idle one
cost 278 kB; with this it is 38 kB (measured). uvloop has a buffer of its own."""

GC_THRESHOLDS: Final = (10_000, 10, 20)
"""The hot path makes no cycles (messages are made without tracking), so looking for them is rarely
worth it; with the defaults (700, 10, 10) a full round, 14 ms at 100,000 connections, comes 30 times
as often. Not higher still: event loops leave cycles behind with connections that fail, and with
(50,000, 20, 100) a flood of broken handshakes took 200 MB."""

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
"""The parameters' numbers in glibc's malloc.h (mallopt(3))."""

KEPT_BYTES: Final = 16 * 1024 * 1024
"""A freed block up to this size, or so much at the end of the heap, is kept for the next one. What
full windows bring in a commit is 1 or 2 MB in one piece, several times over; by glibc's defaults
(128 KiB) each of them is asked of the system anew, a page fault for every 4 KiB: a tenth of the
processor time of a message. After full windows the process so keeps 37 MB, once (measured). Fixed,
for glibc's own guess grows up to twice as much."""


def loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Give what makes the loop: uvloop where it is installed, unless told otherwise.

    Raises:
        SettingsError: uvloop is asked for and not installed.
    """
    if choice != "asyncio":
        try:
            import uvloop  # noqa: PLC0415 - not there on every platform
        except ImportError:
            if choice == "uvloop":
                detail = _("loop: uvloop is not installed; use auto or asyncio")
                raise SettingsError(detail) from None
        else:
            return uvloop.new_event_loop
    asyncio.sslproto.SSLProtocol.max_size = TLS_READ_BYTES
    if sys.platform == "win32":
        return asyncio.SelectorEventLoop  # the default there cannot watch a socket
    return asyncio.new_event_loop


def tune_malloc() -> bool:
    """Have blocks of the size of a commit kept for the next commit; False without glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another libc, or Windows
        return False
    return all(mallopt(name, KEPT_BYTES) for name in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD))


def tune_gc() -> None:
    """Take everything made at the start out of the collector's sight, and let it look rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
