"""`chain`: the links of one's own device chain, for a client that finds that it has grown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from jim.protocol import messages as m
from jim.server.handlers.login import find_account
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.server.active import Active

_OK: Final = 200


async def links(session: Active, message: m.ChainRequest) -> m.Chain:
    """Give the links after a number, or all of them; none if there are none after it."""
    account = await find_account(session.node.store, session.link.identity.name)
    found = account.links if account else []
    if message.after is not UNSET:
        found = [link for link in found if link.seq > message.after]
    return m.Chain(id=message.id, response=_OK, time=now_ms(), links=found)
