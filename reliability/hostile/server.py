"""The server under attack, for a harness that attacks it from an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Final, Self

from reliability import vitals
from reliability.rig.programs import Ended
from reliability.rig.server import Server

STOP_S: Final = 15.0
"""From SIGTERM to the end: three times the server's own limit for draining."""

SUSPICIOUS: Final = re.compile(
    r"traceback|incident|exception|error in|never awaited", re.IGNORECASE
)
"""None of it belongs into a log or an output, whatever clients send. Stricter than
`Server.blunders`: malformed input, unlike a broken disk, is an everyday thing."""


class AttackedServer(Server):
    """As a context of a coroutine it runs, and is asked to end afterwards."""

    async def __aenter__(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            Ended: it does not.
        """
        try:
            await asyncio.to_thread(self.start)
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, politely first; its `status` tells how that went."""
        with contextlib.suppress(Ended):
            await asyncio.to_thread(self.stop, STOP_S)

    def rss_bytes(self) -> int:
        """Measure its resident memory; 0 once it is gone."""
        with contextlib.suppress(ProcessLookupError):
            return vitals.rss_bytes(self.pid)
        return 0

    def suspicious_lines(self) -> list[str]:
        """Give what no input may cause, from its log and its output."""
        lines = [*self.program.lines, *self.program.errors, *self.log_text().splitlines()]
        return [line for line in lines if SUSPICIOUS.search(line)]
