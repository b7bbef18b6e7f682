"""Bring a session from where it stands to the end of its mailbox, at the pace of its client.

There is one such task per session at most. It reads a page, waits until the client has read what
was sent before, hands the page to the hub, and goes on until the hub says that pushes take over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jim.core.link import Link
    from jim.server.connection import Connection


class CatchUp:
    """The catching up of one session."""

    __slots__ = ("_connection", "_link", "_running")

    def __init__(self, connection: Connection, link: Link) -> None:
        self._connection = connection
        self._link = link
        self._running = False

    def start(self) -> None:
        """Run until the end of the mailbox; while it runs, a second call changes nothing."""
        if not self._running and not self._connection.closing:
            self._connection.node.spawn(self._run())
            self._running = True  # not before: it would stay so if there were no task

    async def _run(self) -> None:
        # Left half-way, the session would get no pushes and nobody would know.
        with self._connection.guarded():
            while not self._connection.closing and await self._page():
                pass
        self._running = False

    async def _page(self) -> bool:
        """Send one page; tells whether there may be more.

        A `sync` or a commit may overtake the reading: a page that no longer continues what was sent
        would make a gap, and an empty one says nothing about what came meanwhile. Both are read
        again.
        """
        connection, link = self._connection, self._link
        node = connection.node
        sent, target = link.sent, link.target
        page_bytes = node.limits.page_bytes
        segments = await node.store.load_after(link.identity.device_id, sent, page_bytes)
        await connection.writable()
        if connection.closing:
            return False
        if link.sent != sent or (not segments and link.target != target):
            return True
        return node.hub.loaded(link, segments)
