"""What the user is being asked at the moment, so that a bare yes or no answers it; pure.

A bare word is taken as an answer only if it can mean one thing. With two questions open, or right
after one has come or gone by itself, nobody can know which of them was meant: then nothing is done,
and what can be typed instead is said. The long forms (`/verify bob yes`) always work.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.console.commands import Answer
from jim.client.console.dialogue import Hint
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.client.console.dialogue import Run

OPEN_S: Final = 600.0
"""So long a bare word answers a question: as long as a new device waits (`Limits.linking_s`) and as
long as comparing emoji takes at most (comparing.COMPARE_S)."""

LATELY_S: Final = 10.0
"""So long after a question has gone by itself a bare word may still have been meant for it: time to
read three lines, to decide, and to type a word."""

READ_S: Final = 2.0
"""A question that came by itself is not answered sooner: nobody has read it yet, and what is being
typed was meant for something else."""


class Kind(Enum):
    """What a question is about; there is one of a kind for each name."""

    DEVICE = "device"
    """Whether a new device is taken in."""
    REMOVAL = "removal"
    """Whether a device is taken out."""
    NUMBER = "number"
    EMOJI = "emoji"
    TRUST = "trust"
    PLAIN = "plain"
    FORGET = "forget"


class Question(NamedTuple):
    """A question: what it is about, in a few words, and what its answers do.

    `form` is the command that an answer can stand behind. Without `yes` the word alone does not
    agree: `agreeing` has to be typed behind the form.
    """

    kind: Kind
    name: str
    about: str
    form: str
    yes: Run | None
    no: Run
    agreeing: str = ""

    @property
    def key(self) -> tuple[Kind, str]:
        """What another question has to have in common to take its place."""
        return self.kind, self.name.casefold()

    @property
    def forms(self) -> str:
        """Say how it is answered whatever else is asked."""
        template = _("{about}: {form} {yes} or {form} {no}")
        agreeing = self.agreeing or _("yes")
        return template.format(about=self.about, form=self.form, yes=agreeing, no=_("no"))


class _Asked(NamedTuple):
    question: Question
    since_s: float
    by_itself: bool


class Questions:
    """The open questions of one screen."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without any; `clock` gives seconds."""
        self._clock = clock
        self._asked: dict[tuple[Kind, str], _Asked] = {}
        self._gone: dict[tuple[Kind, str], tuple[Question, float]] = {}
        self._doubted = ""

    def ask(self, question: Question, *, by_itself: bool = False) -> None:
        """Open a question; `by_itself`: nobody has just typed something that led to it."""
        self._asked[question.key] = _Asked(question, self._clock(), by_itself)

    def close(self, kind: Kind, name: str = "", *, by_itself: bool = False) -> None:
        """End a question, if it is open; `by_itself`: it was not the user who has ended it."""
        asked = self._asked.pop((kind, name.casefold()), None)
        if asked is not None and by_itself:
            self._gone[asked.question.key] = asked.question, self._clock()

    @property
    def are_likely(self) -> bool:
        """Whether a bare yes or no may well be meant for a question."""
        self._look()
        return bool(self._asked or self._gone)

    def take(self, answer: Answer) -> Run | Hint:
        """Give what a bare answer does, or a hint that says why it does nothing.

        The question is closed if it was answered.
        """
        self._look()
        asked = list(self._asked.values())
        if not asked and not self._gone:
            return Hint((_("Nothing is being asked at the moment, and nothing was sent."),))
        if len(asked) != 1 or self._gone:
            return self._unclear()
        question, since_s, by_itself = asked[0]
        if by_itself and self._clock() < since_s + READ_S:
            return Hint((_("This question has only just come:"), question.forms))
        run = question.yes if answer is Answer.YES else question.no
        if run is None:
            template = _("That takes more than a word. To agree: {form} {word}")
            return Hint((template.format(form=question.form, word=question.agreeing),))
        del self._asked[question.key]
        return run

    def doubt(self, typed: str) -> Hint:
        """Say that a word was not sent which may have been meant for a question."""
        self._look()
        self._doubted = typed.strip()
        first = _("Nothing was sent: this may be an answer to a question.")
        last = _("If it is none, type it once more.")
        return Hint((first, *self._states(), last))

    def sent(self, text: str) -> None:
        """Note that a text was sent; after a doubt a bare word is for texts, not for questions."""
        if self._doubted and text.strip() == self._doubted:
            self._asked.clear()
            self._gone.clear()
        self._doubted = ""

    def _unclear(self) -> Hint:
        lines = self._states()
        several = len(self._asked) > 1
        self._gone.clear()  # that they are over has been said now
        first = _("A question is over. Nothing was done, and nothing was sent.")
        if several:
            first = _("Several questions are open. Nothing was done; type one of these:")
        return Hint((first, *lines))

    def _states(self) -> tuple[str, ...]:
        over = _("{about}: this is over")
        return (
            *(over.format(about=question.about) for question, _since in self._gone.values()),
            *(asked.question.forms for asked in self._asked.values()),
        )

    def _look(self) -> None:
        """Let go of what is over."""
        now_s = self._clock()
        for key, asked in list(self._asked.items()):
            if now_s > asked.since_s + OPEN_S:
                del self._asked[key]
                self._gone[key] = asked.question, asked.since_s + OPEN_S
        for key, (_question, since_s) in list(self._gone.items()):
            if now_s > since_s + LATELY_S:
                del self._gone[key]
