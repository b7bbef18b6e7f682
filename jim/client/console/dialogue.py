"""The seed's dialogue as a state machine: typed lines in, intentions out; pure.

`1`, recipient, text are three lines with a prompt each. The same machine serves a person at a
prompt and a pipe; in a pipe (`literal`) a text is taken as it stands, whatever it begins with.

A bare yes or no is an answer to a question that stands above the prompt (`questions.py`). Where a
recipient or a text is expected it may be either: it is taken only if it is typed twice.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.console.commands import (
    NAMING,
    Action,
    Answer,
    Command,
    Invocation,
    Unknown,
    parse,
    parse_answer,
    resolve_name,
    yes_or_no,
)
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HISTORY_LENGTH: Final = 20
"""Messages that /history shows when it is told no number: fits a small terminal."""

MAX_HISTORY: Final = 1000
"""More than a terminal scrolls back usefully; `jim history` gives any number."""


class Stage(Enum):
    """What the next line is."""

    COMMAND = "command"
    RECIPIENT = "recipient"
    TEXT = "text"


class Send(NamedTuple):
    """Send a text."""

    to: str
    text: str


class Run(NamedTuple):
    """Run a command that needs no more input.

    `name` is somebody's or a code, `number` a count or a message's number, `text` what else was
    typed: of a device and what follows it, all.
    """

    action: Action
    name: str = ""
    number: int = 0
    answer: Answer | None = None
    text: str = ""


class Hint(NamedTuple):
    """Show lines; nothing was sent."""

    lines: tuple[str, ...]


class Reply(NamedTuple):
    """Answer the question that is open."""

    answer: Answer


class Doubt(NamedTuple):
    """Say that nothing was sent: what was typed may be the answer to a question."""

    typed: str


Intention = Send | Run | Hint | Reply | Doubt | None


class Dialogue:
    """Turn lines into intentions, remembering a dialogue that has begun."""

    def __init__(
        self, *, literal: bool = False, asking: Callable[[], bool] = lambda: False
    ) -> None:
        """Begin with a command; `asking` tells whether a question may be waiting for an answer."""
        self.stage = Stage.COMMAND
        self.recipient = ""
        self._literal = literal
        self._asking = asking
        self._doubted: str | None = None

    @property
    def prompt(self) -> str:
        """The question that the next line answers."""
        if self.stage is Stage.RECIPIENT:
            return _("Enter the recipient of the message: ")
        if self.stage is Stage.TEXT:
            return _("Enter the text of the message: ")
        return _("Enter a command or its number: ")

    def reset(self) -> bool:
        """Give up a dialogue that has begun; say whether there was one."""
        begun = self.stage is not Stage.COMMAND
        self.stage, self.recipient = Stage.COMMAND, ""
        return begun

    def feed(self, line: str, names: Iterable[str] = ()) -> Intention:
        """Take one line; `names` are those known, for a recipient typed on the wrong layout."""
        if self._is_doubtful(line):
            return Doubt(line)
        if self.stage is Stage.TEXT:
            return self._take_text(line)
        if self.stage is Stage.RECIPIENT and not (line.startswith("/") and not self._literal):
            return self._take_recipient(line.strip(), names)
        return self._take_command(line, names)

    def _is_doubtful(self, line: str) -> bool:
        """Tell whether a text or a name may be an answer; the same once more is none."""
        doubted, self._doubted = self._doubted, None
        if self._literal or self.stage is Stage.COMMAND or not yes_or_no(line):
            return False
        if line == doubted or not self._asking():
            return False
        self._doubted = line
        return True

    def _take_recipient(self, name: str, names: Iterable[str]) -> Intention:
        if not name and not self._literal:
            self.reset()
            return Hint((_("No recipient: nothing was sent."),))
        self.stage, self.recipient = Stage.TEXT, resolve_name(name, names)
        return None

    def _take_text(self, text: str) -> Intention:
        if not self._literal and text.startswith("/"):
            if not text.startswith("//"):
                return self._take_slash_instead_of_text(text)
            text = text[1:]
        to = self.recipient
        self.reset()
        if not text.strip():
            return Hint((_("No text: nothing was sent."),))
        return Send(to, text)

    def _take_slash_instead_of_text(self, text: str) -> Intention:
        """Run a command in the middle of the dialogue; what is no command is never sent."""
        parsed = parse(text)
        if isinstance(parsed, Unknown):
            escape = _("Nothing was sent. To send a text that begins with /, type //.")
            return Hint((*_unknown(parsed)[:1], escape))
        return self._take_command(text, ())

    def _take_command(self, line: str, names: Iterable[str]) -> Intention:
        quick = _quick_form(line.strip())
        if quick:
            return self._message(*quick, names)
        answer = None if self._literal else yes_or_no(line)
        if answer is not None:
            return Reply(answer)
        parsed = parse(line)
        if parsed is None:
            return None
        if isinstance(parsed, Unknown):
            return Hint(_unknown(parsed))
        return self._run(parsed, names)

    def _run(self, invocation: Invocation, names: Iterable[str]) -> Intention:
        command, arguments = invocation
        if command.action is Action.MESSAGE:
            name, _space, text = arguments.partition(" ")
            return self._message(name, text, names)
        if command.action is Action.HISTORY:
            return _history(command, arguments, names)
        if command.action in NAMING:
            return _naming(command, arguments, names)
        if command.action in {Action.REMOVE, Action.RENAME}:
            return _about_device(command, arguments)
        if command.action in {Action.CANCEL, Action.RESEND}:
            number = arguments.lstrip("#№")
            return (
                Run(command.action, number=int(number)) if _is_number(number) else _usage(command)
            )
        if command.action is Action.LINK:
            return self._link(command, arguments)
        return Run(command.action)

    def _link(self, command: Command, arguments: str) -> Intention:
        """Take a code; never in a pipe, where nobody looks at whom it takes in."""
        if self._literal:
            return Hint((_("A pipe takes no device in: jim link --approve CODE --yes"),))
        return Run(Action.LINK, arguments) if arguments.strip() else _usage(command)

    def _message(self, name: str, text: str, names: Iterable[str]) -> Intention:
        """Send at once if everything is there, otherwise ask for what is missing."""
        self.recipient = resolve_name(name, names)
        if name and text.strip():
            return Send(self.recipient, text.strip(" "))
        self.stage = Stage.TEXT if name else Stage.RECIPIENT
        return None


def _quick_form(line: str) -> tuple[str, str] | None:
    """Take `@NAME text` apart; `@` alone is none."""
    if not line.startswith("@") or line[1:2].strip() == "":
        return None
    name, _space, text = line[1:].partition(" ")
    return name, text


def _history(command: Command, arguments: str, names: Iterable[str]) -> Intention:
    name, _space, count = arguments.partition(" ")
    if not name or (count and not _is_number(count)):
        return _usage(command)
    number = min(int(count), MAX_HISTORY) if count else HISTORY_LENGTH
    return Run(Action.HISTORY, resolve_name(name.removeprefix("@"), names), number)


def _naming(command: Command, arguments: str, names: Iterable[str]) -> Intention:
    name, _space, rest = arguments.partition(" ")
    word, _space, more = rest.strip().partition(" ")
    answer = parse_answer(word)
    fits = answer is not None and command.action in _FITTING.get(answer, NAMING)
    if not name or (word and not fits) or (more and answer is not Answer.FORGET):
        return _usage(command)
    known = resolve_name(name.removeprefix("@"), names)
    return Run(command.action, known, answer=answer, text=more.strip())


_FITTING: Final = {
    Answer.EMOJI: frozenset({Action.VERIFY}),
    Answer.FORGET: frozenset({Action.TRUST}),
}
"""Answers that not every command about somebody takes."""


def _about_device(command: Command, arguments: str) -> Intention:
    """Take what begins with a device; where that ends, only the list of devices says."""
    text = arguments.strip()
    if not text or (command.action is Action.RENAME and " " not in text):
        return _usage(command)
    return Run(command.action, text=text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 15  # noqa: PLR2004 - a 64-bit id


def _usage(command: Command) -> Hint:
    form = f"{command.slash[0]} {_(command.arguments)}"
    return Hint((_("This command is typed so: {form}").format(form=form),))


def _unknown(unknown: Unknown) -> tuple[str, ...]:
    """Say what was not understood, what may have been meant, and where the help is."""
    typed = unknown.typed
    if unknown.suggestion:
        first = _("Unknown command: {typed}. Did you mean {suggestion}?")
    else:
        first = _("Unknown command: {typed}.")
    line = first.format(typed=typed, suggestion=unknown.suggestion)
    return line, _("Nothing was sent. Help: 2 or help. To write to somebody: 1 or @NAME text.")
