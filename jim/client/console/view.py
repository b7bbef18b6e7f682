"""Turn events of the client library into lines; pure, the same for line, plain and pipe mode.

Every remote string is made safe here. `Look` says what the mode can show.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.console.commands import COMMANDS, Action
from jim.client.console.explain import explain, explain_code, explain_recipient
from jim.client.console.lines import Line, Span, Style, line
from jim.client.console.text import cut, safe_line, safe_name, wrap
from jim.i18n import N_, _, ngettext_

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.events import FirstContact, Message
    from jim.errors import JimError

NAME_CELLS: Final = 32
"""A name has at most 32 characters (jim.core.names); most take one cell each."""

LATE_MS: Final = 120_000
"""An older message is shown with its time: it waited somewhere, so "now" would be wrong."""

LATEST_MS: Final = 32_503_680_000_000
"""The start of the year 3000: Windows knows no local time beyond it, and a server may send any."""

FORM_CELLS: Final = 27
"""The longest form of a command in the help; what it does stands behind it in a column."""

TWO_COLUMNS: Final = 60
"""Narrower screens get a list below each other instead of beside."""

EXCERPT_CELLS: Final = 40
"""Of an own message repeated in a line about its state."""

MARKS: Final = {"queued": "…", "stored": "✓", "delivered": "✓✓", "failed": "!"}
WORDS: Final = {
    "queued": N_("waiting to be sent"),
    "stored": N_("stored on the server"),
    "delivered": N_("delivered"),
    "failed": N_("NOT sent"),
}
"""States of an own message: as marks, and in words for plain mode and screen readers."""


class Look(NamedTuple):
    """What a mode can show."""

    width: int = 0
    """Cells of a line; 0 leaves breaking to the terminal."""
    one_line: bool = False
    """A message is always one line (pipe mode)."""
    words: bool = False
    """States in words instead of marks (plain mode)."""


def incoming(message: Message, look: Look, now_ms: int) -> list[Line]:
    """Show a message of somebody else; its later lines are indented, so they cannot imitate one."""
    if message.withheld:
        return withheld(message, look)
    sender = safe_name(message.sender, NAME_CELLS)
    if now_ms - message.time_ms > LATE_MS and not look.one_line:
        late = _("Message from {name} ({time}): ")
        template = _("Unencrypted message from {name} ({time}): ") if message.plain else late
        head = template.format(name=sender, time=stamp(message.time_ms, now_ms))
    else:
        usual = _("Message from {name}: ")
        template = _("Unencrypted message from {name}: ") if message.plain else usual
        head = template.format(name=sender)
    return _headed(head, message.text, look)


def withheld(message: Message, look: Look) -> list[Line]:
    """Say that an unencrypted message came which is not shown, and how to see it."""
    name = safe_name(message.peer, NAME_CELLS)
    what = _("An unencrypted message in the name of {name} was refused. It is kept, not shown.")
    how = _("To see it: jim plain {name}") if look.one_line else _("To see it: /plain {name}")
    text = f"{what} {how}".format(name=name)
    return paragraph(f"! {text}", look, Style.STRONG)


def past(message: Message, own_name: str, look: Look, now_ms: int) -> list[Line]:
    """Show a message of the history, own or not."""
    who = safe_name(own_name if message.outgoing else message.sender, NAME_CELLS)
    when = stamp(message.time_ms, now_ms)
    state = f" {state_mark(message, look)}" if message.outgoing else ""
    plain = _unencrypted(message)
    text = _("[not shown]") if message.withheld else message.text
    return _headed(f"{when}{state} {who}{plain}: ", text, look)


def _unencrypted(message: Message) -> str:
    return " " + _("(unencrypted)") if message.plain else ""


def _headed(head: str, text: str, look: Look) -> list[Line]:
    if look.one_line:
        body = safe_line(text.replace("\r\n", "\n").replace("\n", "\\n"))
        return [(Span(head, Style.NAME), Span(body))]
    width = look.width or 1_000_000
    first, *rest = wrap(head + text, width, 2)
    shown = head if first.startswith(head) else first  # a head wider than the line is broken too
    body = first[len(shown) :]
    return [(Span(shown, Style.NAME), Span(body)), *(line(part) for part in rest)]


def stamp(time_ms: int, now_ms: int) -> str:
    """Write a time of today as HH:MM, any other with its date, in the local time zone."""
    then, now = local_time(time_ms), local_time(now_ms)
    same_day = then[:3] == now[:3]
    return time.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M", then)


def date(time_ms: int) -> str:
    """Write a time with its date, in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M", local_time(time_ms))


def local_time(time_ms: int) -> time.struct_time:
    """Give a time of a message in the local time zone, within what every platform knows."""
    return time.localtime(min(time_ms, LATEST_MS) / 1000)


def state_mark(message: Message, look: Look) -> str:
    """Give the state of an own message as a mark or in words."""
    if look.words:
        return _(WORDS.get(message.state, WORDS["queued"]))
    return MARKS.get(message.state, "?")


def own_state(message: Message, look: Look) -> list[Line]:
    """Say in one short line what became of an own message; a failure says why and what to do."""
    peer = safe_name(message.peer, NAME_CELLS)
    if message.state == "failed":
        return _failure(message, peer, look)
    text = excerpt(message.text, _room(look, peer))
    if look.words:
        template = _("Message {number} to {name}: {state}.")
        if message.plain:
            template = _("Message {number} to {name}: {state}, unencrypted.")
        shown = template.format(
            number=message.message_id, name=peer, state=state_mark(message, look)
        )
        return [line(shown, Style.DIM)]
    plain = _unencrypted(message)
    return [line(f"{state_mark(message, look)} {peer}{plain}: {text}", Style.DIM)]


def many_states(state: str, peer: str, count_text: str, look: Look) -> Line:
    """Say what became of several messages at once; `count_text` is their translated count."""
    word = _(WORDS[state])
    mark = "" if look.words else f"{MARKS[state]} "
    return line(f"{mark}{safe_name(peer, NAME_CELLS)}: {count_text} {word}", Style.DIM)


def _failure(message: Message, peer: str, look: Look) -> list[Line]:
    reason = explain_code(message.error_code or "internal")
    again = _("To send it again: /resend {number}").format(number=message.message_id)
    advice = [] if look.one_line else paragraph(again, look, indent=2)
    return [*_not_sent(peer, message.text, reason, look), *advice]


def refused(to: str, text: str, problem: JimError, look: Look) -> list[Line]:
    """Say that a message did not get into the outbox, and why."""
    return _not_sent(safe_name(to, NAME_CELLS), text, explain_recipient(problem), look)


def _not_sent(peer: str, text: str, reason: str, look: Look) -> list[Line]:
    what = _("Not sent to {name}: {text}").format(name=peer, text=excerpt(text, EXCERPT_CELLS))
    if look.one_line:
        return [line(f"! {what} ({reason})")]
    return [*paragraph(f"! {what}", look, Style.BAD), *paragraph(reason, look, indent=2)]


def excerpt(text: str, cells: int) -> str:
    """Give the beginning of a text on one line."""
    return cut(safe_line(text[: 4 * cells]), cells)


def _room(look: Look, peer: str) -> int:
    return max(8, min(EXCERPT_CELLS, (look.width or 80) - len(peer) - 5))


def paragraph(text: str, look: Look, style: Style = Style.PLAIN, indent: int = 0) -> list[Line]:
    """Break a text of our own to the width, all lines indented."""
    margin = " " * indent
    if not look.width:
        return [line(margin + part, style) for part in text.split("\n")]
    return [line(margin + part, style) for part in wrap(text, max(8, look.width - indent))]


def error(problem: JimError, look: Look, about: str = "") -> list[Line]:
    """Explain an error; `about` names the account that it is about."""
    subject = f"{safe_name(about, NAME_CELLS)}: " if about else ""
    return paragraph(f"! {subject}{explain(problem)}", look, Style.BAD)


def command_error(problem: JimError, look: Look) -> list[Line]:
    """Explain why a command has failed: a name in it is that of somebody else."""
    return paragraph(f"! {explain_recipient(problem)}", look, Style.BAD)


def devices_changed(look: Look) -> list[Line]:
    """Say that the account has gained or lost a device."""
    text = _(
        "The devices of your account have changed since the last time. If that was not you, "
        "somebody has your recovery words: tell whoever runs the server."
    )
    return paragraph(f"! {text}", look, Style.STRONG)


def contacts(online: Sequence[str], offline: Sequence[str], look: Look) -> list[Line]:
    """List who is here and who is not."""
    if not online and not offline:
        return paragraph(_("You have not written to anybody yet."), look, Style.DIM)
    shown = []
    for title, names in ((_("Here:"), online), (_("Not here:"), offline)):
        if names:
            listed = ", ".join(safe_name(name, NAME_CELLS) for name in sorted(names))
            shown += paragraph(f"{title} {listed}", look)
    return shown


def state(link: str, queued: int, latest: Sequence[Message], look: Look, now_ms: int) -> list[Line]:
    """Give the state of the connection and of the latest own messages, with their numbers."""
    waiting = ngettext_("{count} message to send", "{count} messages to send", queued)
    shown = [
        line(
            _("Connection: {state}; {waiting}.").format(
                state=link, waiting=waiting.format(count=queued)
            )
        )
    ]
    for message in latest:
        when, peer = stamp(message.time_ms, now_ms), safe_name(message.peer, NAME_CELLS)
        head = f"{message.message_id:>4} {when} {state_mark(message, look)} {peer}: "
        shown.append(line(head + excerpt(message.text, max(8, (look.width or 80) - len(head)))))
    return shown


def banner(version: str, name: str, address: str, look: Look) -> list[Line]:
    """Give the first line on the screen."""
    text = _("JIM {version}, console messenger. You are {name}; server {address}.")
    shown = text.format(version=version, name=safe_name(name, NAME_CELLS), address=address)
    return paragraph(shown, look, Style.STRONG)


def connected() -> list[Line]:
    """Say that the server is there (the seed's line)."""
    return [line(_("Connection to the server established."), Style.STRONG)]


def disconnecting() -> list[Line]:
    """Say goodbye (the seed's line)."""
    return [line(_("Disconnecting from the server..."), Style.DIM)]


def first_contact(event: FirstContact, look: Look) -> list[Line]:
    """Show the identity of a server that this machine has not met before."""
    if event.mode == "ca":
        return []  # a certificate authority vouches for it: nothing to compare
    text = _("First contact with this server. Compare its fingerprint with its owner's:")
    shown = paragraph(text, look, Style.DIM)
    return [*shown, *paragraph(event.fingerprint, look, Style.STRONG, indent=2)]


def recovery_words(words: Sequence[str], name: str, look: Look) -> list[Line]:
    """Frame the words that are shown once, with what is typed with them on another machine."""
    if look.one_line:  # no layout in a pipe: the words alone on their line, easy to pick out
        note = _("RECOVERY WORDS, shown only this once. Write them down:")
        return [line(note), line(" ".join(map(safe_line, words)))]
    rule = line("=" * min(look.width or 60, 60), Style.STRONG)
    title = _("RECOVERY WORDS: write them down now, on paper. They are shown only this once.")
    template = _(
        "Without this device they are the only way back to your name: jim recover {name} SERVER"
    )
    use = template.format(name=safe_name(name, NAME_CELLS))
    columns = 2 if 0 < look.width < TWO_COLUMNS else 3
    rows = len(words) // columns
    table = [
        line("".join(f"{n + 1:>4}. {safe_line(words[n]):<13}" for n in range(r, len(words), rows)))
        for r in range(rows)
    ]
    head = paragraph(title, look, Style.STRONG)
    return [rule, *head, *table, *paragraph(use, look), rule]


def seed_help(look: Look) -> list[Line]:
    """List the numbered commands, as the seed shows them."""
    shown = [line(_("Supported commands:"))]
    for command in filter(lambda each: each.number, COMMANDS):
        text = f"{command.number}. {command.words[0]} - {_(command.summary)}"
        first, *rest = wrap(text, look.width or len(text), 3)
        shown += [line(first), *map(line, rest)]
    return shown


def greeting_help(look: Look) -> list[Line]:
    """Give the help of the first screen: the seed's commands, and where the rest is."""
    if look.one_line:
        return seed_help(look)
    more = _("In one line: @NAME text. All commands: 2. Tab completes.")
    return [*seed_help(look), *paragraph(more, look, Style.DIM)]


def full_help(look: Look) -> list[Line]:
    """Give the whole help."""
    shown = seed_help(look)
    shown += paragraph(_("In one line, also in the middle of a dialogue:"), look)
    shown += _help_row(_("@NAME text"), _("send a text"), look)
    for command in COMMANDS:
        if command.action not in {Action.HELP, Action.QUIT}:
            summary = command.summary if command.action is not Action.MESSAGE else _SAME
            form = f"{command.slash[0]} {_(command.arguments)}".strip()
            shown += _help_row(form, _(summary), look)
    notes = _(
        "A text that begins with / is typed with //. An empty line or Ctrl+C gives a dialogue up. "
        "Every command also works in Russian and on the wrong keyboard layout."
    )
    return shown + paragraph(notes, look, Style.DIM)


_SAME: Final = N_("the same; asks for what is missing")


def _help_row(form: str, summary: str, look: Look) -> list[Line]:
    if look.width and look.width < TWO_COLUMNS:
        return [line(form), *paragraph(summary, look, indent=4)]
    return [line(f"{form:<{FORM_CELLS}} {summary}")]
