"""Standard input and output without blocking the event loop, for the modes without prompt_toolkit.

Each has a thread of its own that works on the file descriptor, so that a stalled reader of our
output, or an input that never ends, stops neither the connection nor the exit.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES: Final = 65_536
"""Of one read: what a Linux pipe holds."""

AHEAD_LINES: Final = 64
"""Lines read before they are used: keeps a thread switch from every line, bounds the memory."""

FLUSH_S: Final = 1.0
"""At the end, for what is still to be written: a reader that has not taken it by then may be
stopped for good. What was not written is shown the next time."""


Then = Callable[[], None]
"""What to do once something has been written."""


def is_thrown_away(descriptor: int) -> bool:
    """Tell whether what is written there goes to the null device, so that nobody can read it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(os.devnull))  # noqa: PTH116 - a path of the system
    except OSError:
        return True


class LineReader:
    """Reads a descriptor line by line, as UTF-8; what is no UTF-8 becomes U+FFFD."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD_LINES)
        threading.Thread(target=self._read, name="input", daemon=True).start()

    async def next(self) -> str | None:
        """Wait for the next line, without its end; None at the end of the input or after `stop`."""
        line = await self._lines.get()
        self._room.release()
        return line

    def stop(self) -> None:
        """Let `next` give None after the lines that it has; the thread ends with the program."""
        self._lines.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[str]:
        while (line := await self.next()) is not None:
            yield line

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        pieces: list[str] = []
        chunk = b" "
        while chunk:
            chunk = self._read_chunk()
            *ends, rest = decoder.decode(chunk, final=not chunk).split("\n")
            for end in ends:
                self._put("".join((*pieces, end)).removesuffix("\r"))
                pieces.clear()
            if rest:
                pieces.append(rest)
        if pieces:
            self._put("".join(pieces))
        self._put(None)

    def _read_chunk(self) -> bytes:
        try:
            return os.read(self._descriptor, CHUNK_BYTES)
        except OSError:  # a terminal that is gone says EIO: the end of the input too
            return b""

    def _put(self, line: str | None) -> None:
        self._room.acquire()
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody wants it any more
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)


class Writer:
    """Writes text to a descriptor in order, from a thread; the first failure ends it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._texts: queue.SimpleQueue[tuple[str, Then | None] | asyncio.Event]
        self._texts = queue.SimpleQueue()
        self.broken: asyncio.Future[OSError] = self._loop.create_future()
        """Has the reason when nothing can be written any more: no reader, or no room on a disk."""
        threading.Thread(target=self._write, name="output", daemon=True).start()

    def write(self, text: str, then: Then | None = None) -> None:
        """Write the text soon; once it is written the thread calls `then`."""
        self._texts.put((text, then))

    async def flushed(self) -> None:
        """Wait until everything is written, or nothing can be."""
        done = asyncio.Event()
        self._texts.put(done)
        waiting = asyncio.ensure_future(done.wait())
        ends: set[asyncio.Future[Any]] = {waiting, self.broken}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    def _write(self) -> None:
        while True:
            item = self._texts.get()
            if isinstance(item, asyncio.Event):
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(item.set)
                continue
            text, then = item
            try:
                self._write_all(text.encode("utf-8", "replace"))
                if then is not None:
                    then()
            except OSError as error:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._fail, error)
                return

    def _write_all(self, rest: bytes) -> None:
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def _fail(self, error: OSError) -> None:
        if not self.broken.done():
            self.broken.set_result(error)
