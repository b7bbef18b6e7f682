"""The one table of the client's commands, and how a typed line is matched against it.

Everything that lists commands is made from `COMMANDS`: the help on the screen, completion, the hint
for an unknown command, and the table in docs/client.md. Pure: it neither sends nor prints.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.console.keyboard import SLASH_KEYS, spellings
from jim.i18n import N_

if TYPE_CHECKING:
    from collections.abc import Iterable


class Action(Enum):
    """What a command does."""

    MESSAGE = "message"
    HELP = "help"
    QUIT = "quit"
    WHO = "who"
    HISTORY = "history"
    STATUS = "status"
    RETRY = "retry"
    CANCEL = "cancel"
    RESEND = "resend"
    LINK = "link"
    VERIFY = "verify"
    TRUST = "trust"
    PLAIN = "plain"
    DEVICES = "devices"
    REMOVE = "remove"
    RENAME = "rename"


class Answer(Enum):
    """What may follow a name: the answer to a question that the command has asked before."""

    YES = "yes"
    NO = "no"
    EMOJI = "emoji"
    FORGET = "forget"


class Command(NamedTuple):
    """A row of the table.

    `words` are typed alone on a line (the seed's commands), `slash` begins a line and may be
    followed by arguments. In both the English form comes first, then the Russian one.
    """

    action: Action
    slash: tuple[str, ...]
    summary: str
    number: str = ""
    words: tuple[str, ...] = ()
    arguments: str = ""

    @property
    def usage(self) -> str:
        """The English slash form with the placeholders of its arguments, not translated."""
        return f"{self.slash[0]} {self.arguments}".strip()


COMMANDS: Final = (
    Command(
        Action.MESSAGE,
        ("/msg", "/сообщение"),
        N_("send a message. Recipient and text are asked for separately."),
        number="1",
        words=("message", "сообщение"),
        arguments=N_("[NAME [TEXT]]"),
    ),
    Command(
        Action.HELP,
        ("/help", "/справка"),
        N_("show this help."),
        number="2",
        words=("help", "справка"),
    ),
    Command(
        Action.QUIT,
        ("/quit", "/выход"),
        N_("leave the program."),
        number="3",
        words=("exit", "выход"),
    ),
    Command(Action.WHO, ("/who", "/кто"), N_("who of those you write to is here")),
    Command(
        Action.HISTORY,
        ("/history", "/история"),
        N_("the last messages with NAME"),
        arguments=N_("NAME [COUNT]"),
    ),
    Command(
        Action.STATUS, ("/status", "/состояние"), N_("the connection and your latest messages")
    ),
    Command(Action.RETRY, ("/retry", "/повтор"), N_("connect again now")),
    Command(
        Action.CANCEL,
        ("/cancel", "/отмена"),
        N_("do not send queued message NUMBER"),
        arguments=N_("NUMBER"),
    ),
    Command(
        Action.RESEND,
        ("/resend", "/заново"),
        N_("send failed message NUMBER again"),
        arguments=N_("NUMBER"),
    ),
    Command(
        Action.LINK,
        ("/link", "/связать"),
        N_("take in the new device that shows CODE (jim link)"),
        arguments=N_("CODE"),
    ),
    Command(
        Action.VERIFY,
        ("/verify", "/сверка"),
        N_("compare the keys with NAME, by a number or by emoji"),
        arguments=N_("NAME [yes/no/emoji]"),
    ),
    Command(
        Action.TRUST,
        ("/trust", "/доверие"),
        N_("accept changed keys of NAME, or forget all of them"),
        arguments=N_("NAME [yes/no/forget]"),
    ),
    Command(
        Action.PLAIN,
        ("/plain", "/открыто"),
        N_("allow unencrypted messages with NAME, or forbid them"),
        arguments=N_("NAME [on/off]"),
    ),
    Command(Action.DEVICES, ("/devices", "/устройства"), N_("the devices of your account")),
    Command(
        Action.REMOVE,
        ("/remove", "/удалить"),
        N_("take a lost device out of your account"),
        arguments=N_("DEVICE [yes]"),
    ),
    Command(
        Action.RENAME,
        ("/rename", "/назвать"),
        N_("call one of your devices something else"),
        arguments=N_("DEVICE NEW-NAME"),
    ),
)

NAMING: Final = frozenset({Action.VERIFY, Action.TRUST, Action.PLAIN})
"""They take a name, and perhaps an answer."""

_ANSWERS: Final = {
    "yes": Answer.YES,
    "y": Answer.YES,
    "да": Answer.YES,
    "д": Answer.YES,
    "on": Answer.YES,
    "вкл": Answer.YES,
    "no": Answer.NO,
    "n": Answer.NO,
    "нет": Answer.NO,
    "н": Answer.NO,
    "off": Answer.NO,
    "выкл": Answer.NO,
    "emoji": Answer.EMOJI,
    "эмодзи": Answer.EMOJI,
    "forget": Answer.FORGET,
    "забыть": Answer.FORGET,
}

_SWITCHES: Final = frozenset({"on", "вкл", "off", "выкл"})
"""Answers to what can be on or off, and to nothing else."""

_BY_WORD: Final = {
    form: command for command in COMMANDS for form in (command.number, *command.words) if form
}
_BY_SLASH: Final = {form: command for command in COMMANDS for form in command.slash}


class Invocation(NamedTuple):
    """A line that is a command; `arguments` is the rest of the line as typed."""

    command: Command
    arguments: str


class Unknown(NamedTuple):
    """A line that is no command, and the form of one that looks most like it, or ""."""

    typed: str
    suggestion: str


def parse(line: str) -> Invocation | Unknown | None:
    """Match a line against the table; None means that it is empty.

    Case does not matter, nor does the keyboard layout: `учше`, `/йгше` and `.йгше` are found. Only
    a slash form takes arguments, so that a sentence which happens to begin with "exit" is no
    command.
    """
    stripped = line.strip()
    if not stripped:
        return None
    head, _, arguments = stripped.partition(" ")
    if "\n" in head:
        head, _, arguments = stripped.partition("\n")
    command = _find_slash(head)
    if command:
        return Invocation(command, arguments.strip(" "))
    command = _find_word(stripped)
    return Invocation(command, "") if command else Unknown(head, suggest(head))


def _find_slash(head: str) -> Command | None:
    if head[0] not in SLASH_KEYS:
        return None
    return _find(head[1:], {form[1:]: command for form, command in _BY_SLASH.items()})


def _find_word(word: str) -> Command | None:
    return _find(word.removesuffix(".") if word[0].isdecimal() else word, _BY_WORD)


def _find(word: str, table: dict[str, Command]) -> Command | None:
    found = (table.get(spelling.casefold()) for spelling in spellings(word))
    return next(filter(None, found), None)


def suggest(head: str) -> str:
    """Give the form of a command that looks most like `head`, in either layout, or ""."""
    import difflib

    slash = head[0] in SLASH_KEYS
    forms = [form[1:] for form in _BY_SLASH] if slash else [w for w in _BY_WORD if len(w) > 1]
    word = (head[1:] if slash else head).casefold()[:32]
    for spelling in spellings(word):
        near = difflib.get_close_matches(spelling, forms, n=1)
        if near:
            return f"/{near[0]}" if slash else near[0]
    return ""


def resolve_name(typed: str, known: Iterable[str]) -> str:
    """Give the known name that was meant when the layout was wrong; otherwise `typed` itself."""
    names = {name.casefold(): name for name in known}
    for spelling in spellings(typed):
        if spelling.casefold() in names:
            return names[spelling.casefold()] if spelling != typed else typed
    return typed


def parse_answer(word: str) -> Answer | None:
    """Read an answer in either language and layout, None for anything else."""
    return _ANSWERS.get(_answer_in(word))


def _answer_in(typed: str) -> str:
    """Find the word of an answer in what was typed, "" for none.

    As it stands it comes first: "н" is no, although its key is that of "y".
    """
    meant = map(str.casefold, spellings(typed))
    return next((word for word in meant if word in _ANSWERS), "")


def yes_or_no(typed: str) -> Answer | None:
    """Read a yes or a no that stands alone, as `parse_answer` does; `on` and `off` are none."""
    word = _answer_in(typed.strip())
    answer = None if word in _SWITCHES else _ANSWERS.get(word)
    return answer if answer in {Answer.YES, Answer.NO} else None


def completions(
    line: str, names: Iterable[str], devices: Iterable[tuple[str, str]] = ()
) -> list[str]:
    """List what Tab offers instead of the last word of a command line.

    `devices` are those of the own account: the id of each, and its name or "".
    """
    *before, last = line.split(" ")
    if not before:
        forms = [*_BY_SLASH, *(word for word in _BY_WORD if len(word) > 1)]
        quick = [f"@{name}" for name in names]
        return [form for form in (*forms, *quick) if form.startswith(last.casefold())]
    action = _action_of(before[0])
    if len(before) == 1 and action in _NAMES_SOMEBODY:
        return [name for name in names if name.casefold().startswith(last.casefold())]
    if action in {Action.REMOVE, Action.RENAME}:
        return _devices_after(" ".join((*before[1:], last)), last, devices)
    return []


_NAMES_SOMEBODY: Final = frozenset({Action.MESSAGE, Action.HISTORY, *NAMING})
"""The first argument of their slash form is a name."""


def _action_of(head: str) -> Action | None:
    command = _find_slash(head) if head else None
    return None if command is None else command.action


def _devices_after(typed: str, last: str, devices: Iterable[tuple[str, str]]) -> list[str]:
    """Complete an id or a name, which may have spaces: what is typed of it before stays."""
    wanted, kept = typed.casefold(), len(typed) - len(last)
    forms = (form for device in devices for form in device if form)
    return [form[kept:] for form in forms if form.casefold().startswith(wanted)]
