"""Ask a person at the terminal while a client goes on with its work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

from jim.client.console.commands import yes_or_no

if TYPE_CHECKING:
    from jim.client.console.commands import Answer

LINE_BYTES: Final = 4096
"""Of one answer: the longest line that a terminal takes while it edits it."""


async def ask(question: str) -> str:
    """Give what a person types; empty for Enter alone, and where there is no terminal.

    People take their time, on the phone for one, and the connection has to live meanwhile. The
    thread that waits belongs to nobody: Ctrl+C ends the program without it. It takes the line from
    the descriptor, for Python's own reader would not let the program end.
    """
    if not sys.stdin.isatty():
        return ""
    sys.stderr.write(question)
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def give(text: str) -> None:
        if not line.done():
            line.set_result(text)

    def read() -> None:
        try:
            typed = os.read(sys.stdin.fileno(), LINE_BYTES)
        except OSError:  # the terminal is gone
            typed = b""
        if not typed:
            end_line()
        text = typed.decode(sys.stdin.encoding, "replace").strip()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(give, text)

    threading.Thread(target=read, name="answer", daemon=True).start()
    return await line


def end_line() -> None:
    """End the line of a question that was answered with the end of the input (Ctrl+D)."""
    with contextlib.suppress(OSError):
        sys.stderr.write("\n")
        sys.stderr.flush()


async def ask_yes_or_no(question: str) -> Answer | None:
    """Ask until there is a yes or a no; None for Enter alone, and where there is no terminal."""
    while typed := await ask(question):
        answer = yes_or_no(typed)
        if answer is not None:
            return answer
    return None
