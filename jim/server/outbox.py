"""When connections write what is queued for them: once a turn of the loop, and seldom for less.

A write costs as much as ten messages: a TLS record, a system call, and the way through the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from jim.server.connection import Connection

ALONG_S: Final = 0.02
"""How long frames that can wait do so for others. It is "delivered" that waits: as long again as
its cause may have waited for a commit (`committer.CONFIRM_S`), and both together stay below half of
the 100 ms that a person takes for at once."""


class Outbox:
    """Collects who has something to send, and lets each send once.

    As a context it sends at the end of the block what is marked inside, and not at the end of the
    turn of the loop.
    """

    __slots__ = ("_along", "_connections", "_holds", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._connections: list[Connection] = []
        self._along: list[Connection] = []
        self._timer: asyncio.TimerHandle | None = None
        self._holds = False

    def mark(self, connection: Connection) -> None:
        """Let a connection flush soon; called once until it has flushed."""
        if not self._connections and not self._holds:
            self._loop.call_soon(self.flush)
        self._connections.append(connection)

    def mark_along(self, connection: Connection) -> None:
        """Let a connection flush within `ALONG_S`, if it has not by then."""
        if self._timer is None:
            self._timer = self._loop.call_later(ALONG_S, self._flush_along)
        self._along.append(connection)

    def flush(self) -> None:
        """Let everybody marked flush now; one that cannot ends, and holds up nobody else."""
        marked, self._connections = self._connections, []
        _flush(marked)

    def __enter__(self) -> None:
        """Hold what is marked from now on."""
        self._holds = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send it, whatever has happened."""
        self._holds = False
        self.flush()

    def _flush_along(self) -> None:
        self._timer = None
        along, self._along = self._along, []
        _flush(along)


def _flush(connections: list[Connection]) -> None:
    for connection in connections:
        try:
            connection.flush()
        except Exception as error:  # noqa: BLE001 - one session's fault must not reach the others
            connection.fail(error)
