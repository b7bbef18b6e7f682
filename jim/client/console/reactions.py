"""Turn the client library's events into what a screen shows; the other half of `Console`.

It keeps what has to be known across events: the state of the link, own messages, names, and what
must wait for the first connection so that the first screen reads in the seed's order.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from jim.client import events
from jim.client.console import notices, status, trust_view, view
from jim.client.console.newcomer import Progress
from jim.client.console.questions import Questions
from jim.client.console.shown import after
from jim.client.console.states import OwnStates
from jim.client.console.status import Link
from jim.client.console.trusting import compared
from jim.errors import JimError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jim.client.console.library import Messenger, OpenShown
    from jim.client.console.lines import Line
    from jim.client.console.shown import Shown
    from jim.client.console.streams import Then
    from jim.client.console.view import Look
    from jim.client.devices import Device

_REACHED = frozenset({events.LinkState.ONLINE, events.LinkState.SHARED})


class Screen(Protocol):
    """Where lines go."""

    @property
    def look(self) -> Look:
        """What can be shown at the moment."""

    def show(self, lines: Sequence[Line], then: Then | None = None) -> None:
        """Show what was asked for or has arrived; `then` is called once it has been written."""

    def report(self, lines: Sequence[Line], then: Then | None = None) -> None:
        """Show what is about the program itself: problems, secrets; `then` as for `show`."""

    async def flushed(self) -> None:
        """Wait until everything is written, or nothing can be."""

    def refresh(self) -> None:
        """Show a changed status, where a status is shown."""

    def stop(self) -> None:
        """End the waiting for input: the client has stopped for good."""


class Reactions:
    """What one client's events have said so far, shown on one screen."""

    def __init__(self, screen: Screen, open_shown: OpenShown) -> None:
        self.link = Link()
        self.own = OwnStates()
        self.names: set[str] = set()
        self.devices: list[Device] = []
        """Those of the own account, for completion."""
        self.protection: dict[str, events.ContactInfo] = {}
        """What is known of those to whom a message was sent in this run."""
        self.questions = Questions()
        """What the user is being asked."""
        self.fatal: JimError | None = None
        self.greeted = asyncio.Event()
        """Set when the first connection stands and everything about it has been shown."""
        self.settled = asyncio.Event()
        """Set when the first attempt to connect has ended, well or not."""
        self.states_changed = asyncio.Event()
        """Set with each change of an own message."""
        self.closing = False
        """Set before the client is closed: that its connection ends is no news then."""
        self._screen = screen
        self._open_shown = open_shown
        self._shown: Shown | None = None
        self._outage = False
        self._contact: events.FirstContact | None = None
        self._words: tuple[str, ...] | None = None
        self.has_notes = False
        """Something has been reported of which it is noted when it was shown."""
        self._history = Progress()
        self._noting: list[asyncio.Future[None]] = []

    @property
    def shown_id(self) -> int:
        """The last message of others that was shown, 0 if nothing is known of it."""
        return self._shown.number if self._shown is not None else 0

    async def take(self, event: events.Event, client: Messenger) -> None:
        """React to one event: what is about the account first, then what is about messages."""
        match event:
            case events.LinkChanged():
                await self._link_changed(event, client)
            case events.FirstContact():
                self._contact = event
            case events.Registered(words=words):
                self._words = words
                if self.greeted.is_set():
                    await self._show_news(client)
            case events.Fatal(error):
                await self._show_news(client)
                self.end(error, client.name)
            case _:
                await self._take_kept(event, client)

    async def _take_kept(self, event: events.Event, client: Messenger) -> None:
        """React to what is about keys and own messages, and to what is noted as shown."""
        match event:
            case events.MissingNotice(notice_id=notice_id, peer=peer):
                self._screen.report(
                    notices.notice(event, client.name, self._screen.look),
                    self._once_written(lambda: client.notice_shown(notice_id)),
                )
                await self.look_at(peer, client)
                if peer == client.name:
                    await self.look_at_devices(client)
            case events.ComparisonChanged(name=name):
                self._screen.show(trust_view.comparison(event, client.name, self._screen.look))
                compared(event, self.questions)
                await self.look_at(name, client)
            case events.OwnChanged(message):
                self.own_changed(message)
                known = self.protection.get(message.peer)
                if known is None or not known.known:
                    self.protection[message.peer] = events.ContactInfo(name=message.peer)
                    await self.look_at(message.peer, client)
            case _:
                self._take_rest(event)

    async def look_at(self, name: str, client: Messenger) -> None:
        """Find out how messages with somebody are protected, for the status line."""
        if name and name in self.protection:
            with contextlib.suppress(JimError):
                self.protection[name] = await client.contact(name)
            self._screen.refresh()

    async def look_at_devices(self, client: Messenger) -> None:
        """Find out which devices the account has, for completion."""
        with contextlib.suppress(JimError):
            self.devices = await client.devices()

    def _take_rest(self, event: events.Event) -> None:
        match event:
            case events.Received(message):
                self.names.add(message.peer)
                if self._shown is not None:
                    self._show_received(message, self._shown)
            case events.PresenceChanged(name):
                self.names.add(name)
            case events.DevicesChanged():
                self._screen.report(view.devices_changed(self._screen.look))
            case events.HistoryMoved():
                look, now_s = self._screen.look, time.monotonic()
                self._screen.report(self._history.told(event, now_s, look))

    def end(self, error: JimError, name: str) -> None:
        """The client has stopped for good, or has not even begun: say why, and wake who waits."""
        self.fatal = error
        self._screen.report(view.error(error, self._screen.look, name))
        self.settled.set()
        self._screen.stop()

    async def _link_changed(self, event: events.LinkChanged, client: Messenger) -> None:
        self.link = Link.of(event, time.monotonic())
        if event.state in _REACHED:
            if not self.greeted.is_set():
                await self._greet(client)
            elif self._outage:
                self._screen.report(status.restored())
            self._outage = False
        elif event.state is events.LinkState.WAITING and not (self._outage or self.closing):
            self._outage = True
            await self._report_outage(client)
        if event.state is not events.LinkState.CONNECTING:
            self.settled.set()
        self._screen.refresh()

    async def _report_outage(self, client: Messenger) -> None:
        has_account = client.fingerprint is not None
        shown = status.lost(
            self.link,
            self._screen.look,
            was_online=self.greeted.is_set(),
            has_account=has_account,
        )
        self._screen.report(shown)
        if has_account:
            await self._catch_up(client)

    async def _greet(self, client: Messenger) -> None:
        """Show the first connection in the seed's order: established, what is new, the commands."""
        self._screen.show(view.connected())
        await self._show_news(client)
        self._screen.show(view.greeting_help(self._screen.look))
        await self._catch_up(client)
        self.greeted.set()

    async def _show_news(self, client: Messenger) -> None:
        """Show what a first contact and a registration bring, once."""
        contact, self._contact = self._contact, None
        words, self._words = self._words, None
        if contact is not None:
            self._screen.report(view.first_contact(contact, self._screen.look))
        if words is not None:
            self._screen.report(
                view.recovery_words(words, client.name, self._screen.look),
                self._once_written(client.words_shown),
            )

    def _once_written(self, note: Callable[[], Awaitable[None]]) -> Then:
        """Make what notes, once lines are on the screen, that they were shown.

        Killed before that, the client tells it again; recovery words that were erased unseen would
        be gone for good.
        """
        loop = asyncio.get_running_loop()
        self.has_notes = True

        async def carry_out() -> None:
            with contextlib.suppress(JimError):  # it is told again, then
                await note()

        def written() -> None:
            # Perhaps in the thread that writes, and after the end of the loop.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(
                    lambda: self._noting.append(asyncio.ensure_future(carry_out()))
                )

        return written

    async def noted(self) -> None:
        """Wait until everything that has been written by now is noted as shown."""
        await asyncio.gather(*self._noting)

    async def _catch_up(self, client: Messenger) -> None:
        """Show what came while nothing was shown: before the last run was killed, in `jim send`."""
        if self._shown is not None:
            return
        try:
            await self.look_at_devices(client)
            cursor = await self._open_shown(client)
            self.names.update(each.peer for each in await client.conversations())
            for message in await after(client, cursor.number):
                self._show_received(message, cursor)
        except JimError:
            # Gone on without it, the next message would pass by what was not read.
            if self.closing:
                return
            raise
        self._shown = cursor

    def _show_received(self, message: events.Message, cursor: Shown) -> None:
        if cursor.advance(message) and not message.outgoing:
            now_ms = time.time_ns() // 1_000_000
            lines = view.incoming(message, self._screen.look, now_ms)
            self._screen.show(lines, lambda: cursor.written(message))

    def close(self) -> None:
        """Close what is kept on disk."""
        if self._shown is not None:
            self._shown.close()

    def own_changed(self, message: events.Message) -> None:
        """Take the state of an own message; one that is known already changes nothing."""
        self.names.add(message.peer)
        if self.own.update(message, time.monotonic()):
            self._screen.report(view.own_state(message, self._screen.look))
        self.states_changed.set()
        self._screen.refresh()
