"""Who of those I talk to is here, as far as the server tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jim.client.events import Contacts, PresenceChanged
from jim.client.link import protocol_error
from jim.protocol import messages as m

if TYPE_CHECKING:
    import asyncio

    from jim.client.feed import Feed
    from jim.client.link import Link


class Presence:
    """Asks, and once somebody watches, goes on asking after every new connection."""

    def __init__(self, feed: Feed) -> None:
        """Take whom to tell about changes."""
        self._feed = feed
        self._watching = False
        self._online: dict[str, bool] = {}

    async def ask(self, link: Link, *, watch: bool) -> Contacts:
        """Ask the server; from now on with changes as events, if `watch`.

        Raises:
            JimError: the server's refusal, or the end of the connection.
        """
        self._watching = self._watching or watch
        reply = await link.request(m.Presence(id="", watch=self._watching))
        if not isinstance(reply, m.Contacts):
            raise protocol_error("the server does not say who is online")
        self._learn(reply, tell=False)
        return Contacts(reply.online, reply.offline)

    def reconnected(self, link: Link) -> None:
        """Ask again on a new connection if somebody watches, and tell what is different."""
        if self._watching:
            request = link.request(m.Presence(id="", watch=True))
            request.add_done_callback(self._answered)

    def changed(self, change: m.PresenceChange) -> None:
        """Take the server's word about one person."""
        self._set(change.name, online=change.online, tell=True)

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        if isinstance(reply := answer.result(), m.Contacts):
            self._learn(reply, tell=True)

    def _learn(self, contacts: m.Contacts, *, tell: bool) -> None:
        for name in contacts.online:
            self._set(name, online=True, tell=tell)
        for name in contacts.offline:
            self._set(name, online=False, tell=tell)

    def _set(self, name: str, *, online: bool, tell: bool) -> None:
        if self._online.get(name) is online:
            return
        self._online[name] = online
        if tell:
            self._feed.publish(PresenceChanged(name, online))
