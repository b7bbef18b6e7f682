"""`presence`: who of those that wrote to us is here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.protocol import messages as m
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.server.active import Active

_OK: Final = 200


async def contacts(session: Active, message: m.Presence) -> m.Contacts:
    """Tell who is online and who is not; with `watch` changes follow from now on.

    Watching begins before the list is read, so that no change falls between the two.
    """
    session.link.watching = message.watch
    hub, account_id = session.node.hub, session.link.identity.account_id
    known = await session.node.store.visible(account_id)
    online = [contact.name for contact in known if hub.is_online(contact.account_id)]
    here = set(online)
    offline = [contact.name for contact in known if contact.name not in here]
    return m.Contacts(id=message.id, response=_OK, time=now_ms(), online=online, offline=offline)
