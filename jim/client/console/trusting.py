"""`/verify`, `/trust` and `/plain` at work: what they show, and what an answer to it does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.client.console import trust_view, view
from jim.client.console.commands import Action, Answer, yes_or_no
from jim.client.console.dialogue import Run
from jim.client.console.keyboard import spellings
from jim.client.console.lines import Style
from jim.client.console.questions import Kind, Question
from jim.client.console.text import safe_name
from jim.errors import ConnectFailed, OwnAccount
from jim.i18n import _

if TYPE_CHECKING:
    from jim.client.console.library import Messenger
    from jim.client.console.lines import Line
    from jim.client.console.questions import Questions
    from jim.client.console.view import Look
    from jim.client.events import ComparisonChanged


class Trusting:
    """The commands about whom to believe, on one screen."""

    def __init__(self, questions: Questions) -> None:
        """Take where it is noted what the user is asked."""
        self._questions = questions
        self._numbers: dict[str, str] = {}
        """What the user was shown and asked about: only that can be confirmed."""

    async def run(self, client: Messenger, intention: Run, look: Look) -> list[Line]:
        """Run one of the three.

        Raises:
            JimError: of the client library.
        """
        name, answer = intention.name, intention.answer
        if intention.action is Action.VERIFY:
            return await self._verify(client, name, answer, look)
        if answer is Answer.FORGET:
            return await self._forget(client, name, intention.text, look)
        if intention.action is Action.TRUST:
            return await self._trust(client, name, answer, look)
        return await self._plain(client, name, answer, look)

    async def _verify(
        self, client: Messenger, name: str, answer: Answer | None, look: Look
    ) -> list[Line]:
        if answer is not None:
            self._questions.close(Kind.NUMBER, name)
            self._questions.close(Kind.EMOJI, name)
        if answer is Answer.EMOJI:
            return await _compare(client, name, look)
        number = self._numbers.get(name.casefold())
        if answer in {Answer.YES, Answer.NO} and await client.answer_emoji(
            name, same=answer is Answer.YES
        ):
            return []  # the event says what came of it
        if answer is Answer.NO:
            self._numbers.pop(name.casefold(), None)
            return trust_view.differs(name, look) if number else trust_view.unchanged(look)
        if answer is Answer.YES and number is not None:
            del self._numbers[name.casefold()]
            if await client.mark_verified(name, number):
                return trust_view.verified(name, look)
            return trust_view.number_changed(name, look)
        return await self._show_number(client, name, look)

    async def _show_number(self, client: Messenger, name: str, look: Look) -> list[Line]:
        number = self._numbers[name.casefold()] = await client.safety_number(name)
        info = await client.contact(name)
        about = _("the number of {name}")
        self._questions.ask(_asked(Kind.NUMBER, Action.VERIFY, name, about))
        return [
            *trust_view.number(name, number, info, look),
            *trust_view.ask_number(name, look),
        ]

    async def _trust(
        self, client: Messenger, name: str, answer: Answer | None, look: Look
    ) -> list[Line]:
        self._questions.close(Kind.TRUST, name)
        info = await client.contact(name)
        if answer is Answer.NO:
            return trust_view.unchanged(look)
        if not info.changed:
            return trust_view.nothing_changed(info, look)
        if answer is Answer.YES and await client.accept_changed(name):
            return trust_view.accepted(name, look)
        about = _("the new keys of {name}")
        self._questions.ask(_asked(Kind.TRUST, Action.TRUST, name, about))
        return [*trust_view.changed(name, look), *trust_view.ask_changed(name, look)]

    async def _forget(self, client: Messenger, name: str, typed: str, look: Look) -> list[Line]:
        """Drop the keys of somebody, once the name has been typed again."""
        self._questions.close(Kind.FORGET, name)
        if name.casefold() in map(str.casefold, spellings(typed)):
            self._numbers.pop(name.casefold(), None)
            done = await client.forget_keys(name)
            return (
                trust_view.forgotten(name, look) if done else trust_view.nothing_known(name, look)
            )
        if yes_or_no(typed) is Answer.NO:
            return trust_view.unchanged(look)
        number = await client.known_number(name)
        if number is None:
            return trust_view.nothing_known(name, look)
        info = await client.contact(name)
        question = _asked(Kind.FORGET, Action.TRUST, name, _("dropping the keys of {name}"))
        word = _("forget")
        self._questions.ask(
            question._replace(
                form=f"{question.form} {word}",
                yes=None,
                no=Run(Action.TRUST, name, answer=Answer.FORGET, text=Answer.NO.value),
                agreeing=safe_name(name, view.NAME_CELLS),
            )
        )
        return [
            *trust_view.forgetting(info, number, look),
            *trust_view.ask_forgetting(name, look),
        ]

    async def _plain(
        self, client: Messenger, name: str, answer: Answer | None, look: Look
    ) -> list[Line]:
        self._questions.close(Kind.PLAIN, name)
        if answer is None:
            if name.casefold() == client.name:
                raise OwnAccount
            info = await client.contact(name)
            if info.plain:
                return trust_view.plain_meaning(info, look)
            about = _("unencrypted messages with {name}")
            self._questions.ask(_asked(Kind.PLAIN, Action.PLAIN, name, about))
            return [*trust_view.plain_meaning(info, look), *trust_view.ask_plain(name, look)]
        allowed = answer is Answer.YES
        revealed = await client.allow_plain(name, allowed=allowed)
        shown = trust_view.plain_set(name, len(revealed), look, allowed=allowed)
        now_ms = time.time_ns() // 1_000_000
        for message in revealed:
            shown += view.past(message, client.name, look, now_ms)
        return shown


def _asked(kind: Kind, action: Action, name: str, about: str) -> Question:
    """Make a question about somebody that the command itself answers, with yes or no behind it."""
    shown = safe_name(name, view.NAME_CELLS)
    yes, no = (Run(action, name, answer=answer) for answer in (Answer.YES, Answer.NO))
    form = f"/{action.value} {shown}"
    return Question(kind, name, about.format(name=shown), form, yes, no)


def compared(event: ComparisonChanged, questions: Questions) -> None:
    """Keep up with what comparing emoji asks the user; whatever else it says ends a question."""
    name = event.name
    if event.stage == "shown":
        # Who looks at emoji has turned to them: the number of the same person is asked no more.
        questions.close(Kind.NUMBER, name)
        about = _("the emoji of {name}")
        questions.ask(_asked(Kind.EMOJI, Action.VERIFY, name, about), by_itself=True)
    elif event.stage == "asked":
        agreeing = Run(Action.VERIFY, name, answer=Answer.EMOJI)
        question = _asked(Kind.EMOJI, Action.VERIFY, name, _("comparing emoji with {name}"))
        questions.ask(question._replace(yes=agreeing, agreeing=_("emoji")), by_itself=True)
    else:
        questions.close(Kind.EMOJI, name, by_itself=True)


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
