"""`/verify`, `/trust` and `/plain` at work: what they show, and what an answer to it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.client.console import trust_view, view
from jim.client.console.commands import Action, Answer
from jim.client.console.lines import Style
from jim.client.console.text import safe_name
from jim.errors import ConnectFailed
from jim.i18n import _

if TYPE_CHECKING:
    from jim.client.console.dialogue import Run
    from jim.client.console.library import Messenger
    from jim.client.console.lines import Line
    from jim.client.console.view import Look


class Trusting:
    """The commands about whom to believe, on one screen."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}
        """What the user was shown and asked about: only that can be confirmed."""

    async def run(self, client: Messenger, intention: Run, look: Look) -> list[Line]:
        """Run one of the three.

        Raises:
            JimError: of the client library.
        """
        if intention.action is Action.VERIFY:
            return await self._verify(client, intention.name, intention.answer, look)
        if intention.action is Action.TRUST:
            return await _trust(client, intention.name, intention.answer, look)
        return await _plain(client, intention.name, intention.answer, look)

    async def _verify(
        self, client: Messenger, name: str, answer: Answer | None, look: Look
    ) -> list[Line]:
        if answer is Answer.EMOJI:
            return await _compare(client, name, look)
        if answer in {Answer.YES, Answer.NO} and await client.answer_emoji(
            name, same=answer is Answer.YES
        ):
            return []  # the event says what came of it
        number = self._numbers.get(name.casefold())
        if answer is Answer.NO:
            return trust_view.differs(name, look) if number else trust_view.unchanged(look)
        if answer is Answer.YES and number is not None:
            del self._numbers[name.casefold()]
            if await client.mark_verified(name, number):
                return trust_view.verified(name, look)
            return trust_view.number_changed(name, look)
        number = self._numbers[name.casefold()] = await client.safety_number(name)
        info = await client.contact(name)
        return [
            *trust_view.number(name, number, info, look),
            *trust_view.ask_number(name, look),
        ]


async def _compare(client: Messenger, name: str, look: Look) -> list[Line]:
    """Ask for emoji, or agree; say beforehand if nobody is there to answer."""
    await client.compare_emoji(name)
    try:
        contacts = await client.presence()
    except ConnectFailed:
        return []
    if name not in contacts.offline:
        return []
    text = _("{name} is not here now. The question waits for ten minutes.")
    return view.paragraph(text.format(name=safe_name(name, view.NAME_CELLS)), look, Style.DIM)


async def _trust(client: Messenger, name: str, answer: Answer | None, look: Look) -> list[Line]:
    info = await client.contact(name)
    if answer is Answer.NO:
        return trust_view.unchanged(look)
    if not info.changed:
        return trust_view.nothing_changed(info, look)
    if answer is Answer.YES and await client.accept_changed(name):
        return trust_view.accepted(name, look)
    return [*trust_view.changed(name, look), *trust_view.ask_changed(name, look)]


async def _plain(client: Messenger, name: str, answer: Answer | None, look: Look) -> list[Line]:
    if answer is None:
        info = await client.contact(name)
        asking = [] if info.plain else trust_view.ask_plain(name, look)
        return [*trust_view.plain_meaning(info, look), *asking]
    allowed = answer is Answer.YES
    revealed = await client.allow_plain(name, allowed=allowed)
    shown = trust_view.plain_set(name, len(revealed), look, allowed=allowed)
    now_ms = time.time_ns() // 1_000_000
    for message in revealed:
        shown += view.past(message, client.name, look, now_ms)
    return shown
