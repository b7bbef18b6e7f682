"""`msg`: on its way into the store. The reply comes when the message is durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jim.protocol import messages as m
    from jim.server.active import Active


def submit(session: Active, messages: list[m.Msg]) -> None:
    """Hand consecutive messages to the hub, which answers them; report what it refuses as it is.

    Raises:
        Replaced: the session is over.
    """
    refused = session.node.hub.submit(session.link, messages)
    session.node.committer.wake()
    for message, error in refused:
        session.report(error, message)
