"""Who of those I talk to is here, as far as the server tells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from jim.client.events import Contacts, PresenceChanged
from jim.client.link import protocol_error
from jim.protocol import messages as m

if TYPE_CHECKING:
    from jim.client.feed import Feed
    from jim.client.link import Link

PAUSE_S: Final = 1.0
"""Between two rounds of telling who came or went, as for other hints of the server
(jim.client.hints): the first is told at once, and of what comes meanwhile the last word on each."""

MAX_PEOPLE: Final = 10_000
"""People of whom it is known whether they are here: as many as could each have left one message in
a full mailbox (`Limits.waiting_messages`). A server can name more; nobody has so many contacts."""

MAX_TOLD: Final = 64
"""Changes told in a round; the others follow in the next ones. Nobody reads more in a second, and a
screen has about so many lines."""


class Presence:
    """Asks, and once somebody watches, goes on asking after every new connection."""

    def __init__(self, feed: Feed) -> None:
        """Take whom to tell about changes."""
        self._feed = feed
        self._watching = False
        self._online: dict[str, bool] = {}
        """What was told, by name."""
        self._news: dict[str, bool] = {}
        """What is to be told, the last word on each."""
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, link: Link, *, watch: bool) -> Contacts:
        """Ask the server; from now on with changes as events, if `watch`.

        Raises:
            JimError: the server's refusal, or the end of the connection.
        """
        self._watching = self._watching or watch
        reply = await link.request(m.Presence(id="", watch=self._watching))
        if not isinstance(reply, m.Contacts):
            raise protocol_error("the server does not say who is online")
        for name, online in _people(reply):
            self._news.pop(name, None)
            self._know(name, online=online)
        return Contacts(reply.online, reply.offline)

    def reconnected(self, link: Link) -> None:
        """Ask again on a new connection if somebody watches, and tell what is different."""
        if self._watching:
            request = link.request(m.Presence(id="", watch=True))
            request.add_done_callback(self._answered)

    def changed(self, change: m.PresenceChange) -> None:
        """Take the server's word about one person."""
        self._hear(change.name, online=change.online)

    def close(self) -> None:
        """Tell nothing any more."""
        self._news.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _answered(self, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        if isinstance(reply := answer.result(), m.Contacts):
            for name, online in _people(reply):
                self._hear(name, online=online)

    def _hear(self, name: str, *, online: bool) -> None:
        """Tell of somebody, now or with the next round."""
        if self._online.get(name) is online:
            self._news.pop(name, None)
        elif name in self._news or len(self._news) < MAX_PEOPLE:
            self._news[name] = online
        if self._news and self._timer is None:
            self._tell()

    def _tell(self) -> None:
        """Tell what is new, and wait before the next round."""
        self._timer = None
        for name in list(self._news)[:MAX_TOLD]:
            online = self._news.pop(name)
            if self._know(name, online=online):
                self._feed.publish(PresenceChanged(name, online))
        self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        if self._news:
            self._tell()

    def _know(self, name: str, *, online: bool) -> bool:
        """Keep it; False for one person too many."""
        if name not in self._online and len(self._online) >= MAX_PEOPLE:
            return False
        self._online[name] = online
        return True


def _people(contacts: m.Contacts) -> list[tuple[str, bool]]:
    return [(name, True) for name in contacts.online] + [(name, False) for name in contacts.offline]
