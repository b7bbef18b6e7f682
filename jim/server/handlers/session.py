"""`probe`, `pong`, `quit`: signs of life, and the end on the client's wish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.protocol import messages as m
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.server.active import Active
    from jim.server.login import Login

_OK: Final = 200
_QUIT: Final = "quit"


def probe(session: Active, message: m.Probe) -> m.Pong:
    """Answer at once."""
    return m.Pong(id=message.id)


def pong(session: Active, message: m.Pong) -> None:
    """Do nothing more: every byte that comes counts as a sign of life."""


async def quit_session(session: Active | Login, message: m.Quit) -> None:
    """Say goodbye and close, after what this client has sent before is stored and answered."""
    await session.node.committer.settled()
    farewell = m.Goodbye(id=message.id, code=_QUIT, time=now_ms(), response=_OK)
    session.connection.part(farewell)
