"""`msg`: on its way into the store. The reply comes when the message is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jim.protocol import messages as m
    from jim.server.active import Active


def submit(session: Active, message: m.Msg) -> None:
    """Hand a message to the hub, which answers it.

    Raises:
        WireError: the hub refuses it as it is; its number stays unused.
    """
    session.node.hub.submit(session.link, message)
    session.node.committer.wake()
