"""What `/verify`, `/trust` and `/plain` say, and how a conversation is protected; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.client.console.lines import Style, line
from jim.client.console.text import cell_width, safe_name
from jim.client.console.view import NAME_CELLS, paragraph
from jim.client.events import ContactInfo
from jim.i18n import N_, _, ngettext_

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jim.client.console.lines import Line
    from jim.client.console.view import Look
    from jim.client.events import ComparisonChanged, Message

ROW_GROUPS: Final = 4
"""Groups of digits in a row: 23 cells with the gaps; three rows are easy to read out."""

EMOJI_CELLS: Final = 10
"""A column of an emoji and its name; three of them fit into 40 cells with the indent."""

WORDS: Final = {
    "plain": N_("NOT encrypted"),
    "unknown": N_("no keys known yet"),
    "encrypted": N_("encrypted"),
    "verified": N_("encrypted, verified"),
    "changed": N_("KEYS CHANGED"),
}


NO_KEYS: Final = ContactInfo(name="", known=True)
"""Of somebody who cannot encrypt."""


def protection(info: ContactInfo) -> str:
    """Say in two or three words how messages with somebody are protected."""
    return _(WORDS[_protection(info)])


def protection_of(message: Message, known: Mapping[str, ContactInfo]) -> str:
    """Say in a word how an own message is protected, or "" while that is not known."""
    if message.plain:
        return protection(NO_KEYS)
    info = known.get(message.peer)
    if info is None or not info.known:
        return ""
    return _("verified") if _protection(info) == "verified" else protection(info)


def _protection(info: ContactInfo) -> str:
    if info.changed:
        return "changed"
    if not info.known:
        return "plain" if info.plain else "unknown"
    if not info.devices:
        return "plain"
    return "verified" if info.verified else "encrypted"


def heading(info: ContactInfo, look: Look) -> list[Line]:
    """Give the first line of a conversation."""
    text = f"{safe_name(info.name, NAME_CELLS)}: {protection(info)}"
    if info.plain and info.devices:
        text += "; " + _("unencrypted messages are allowed")
    is_calm = info.devices and not info.changed
    return paragraph(text, look, Style.DIM if is_calm else Style.STRONG)


def number(name: str, digits: str, info: ContactInfo, look: Look) -> list[Line]:
    """Show the 60 digits, how to compare them, and ask."""
    shown = safe_name(name, NAME_CELLS)
    rows = digit_rows(digits, look)
    title = _("The number of you and {name}:").format(name=shown)
    how = _(
        "Compare all of it with the number that {name} sees, by another way than this one: on the "
        "phone, or when you meet."
    ).format(name=shown)
    lines = [*paragraph(title, look), *rows, *paragraph(how, look)]
    if info.verified:
        done = _("You have compared it before, and it is the same since.")
        lines += paragraph(done, look, Style.DIM)
    return lines


def digit_rows(digits: str, look: Look) -> list[Line]:
    """Give 60 digits in groups, so that they can be read out."""
    groups = digits.split()
    if look.one_line:
        return [line(" ".join(groups), Style.STRONG)]
    return [
        line("  " + " ".join(groups[start : start + ROW_GROUPS]), Style.STRONG)
        for start in range(0, len(groups), ROW_GROUPS)
    ]


def ask_number(name: str, look: Look) -> list[Line]:
    """Ask at the prompt whether the numbers are the same; a pipe takes no bare words."""
    text = _("Is it the same? yes or no. To compare emoji instead: /verify {name} emoji")
    if look.one_line:
        text = _(
            "Is it the same? /verify {name} yes, or /verify {name} no. Emoji: /verify {name} emoji"
        )
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)


def verified(name: str, look: Look) -> list[Line]:
    """Say that somebody has been verified."""
    text = _("{name} is verified. If the keys ever change, nothing is sent before you say so.")
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look, Style.STRONG)


def differs(name: str, look: Look) -> list[Line]:
    """Warn loudly: what two people see is not the same."""
    text = _(
        "WARNING: if it is not the same, somebody may be reading along between you and {name}. "
        "Send nothing secret here. Look once more, by another way; if it still differs, tell "
        "{name} and whoever runs the server. Nothing was changed."
    )
    return paragraph(f"! {text.format(name=safe_name(name, NAME_CELLS))}", look, Style.BAD)


def number_changed(name: str, look: Look) -> list[Line]:
    """Say that the number which was compared is no longer the one."""
    text = _("The number has changed since it was shown. Compare anew: /verify {name}")
    return paragraph(f"! {text.format(name=safe_name(name, NAME_CELLS))}", look, Style.BAD)


def changed(name: str, look: Look) -> list[Line]:
    """Say what has happened to somebody who was verified, and what accepting it means."""
    text = _(
        "You had verified {name}. Since then the account has begun anew with other keys: {name} "
        "has lost every device and used the recovery words, or somebody else has them. Ask {name} "
        "by another way. If you go on without comparing, {name} counts as met for the first time."
    )
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look, Style.STRONG)


def ask_changed(name: str, look: Look) -> list[Line]:
    """Ask at the prompt whether to accept the new keys."""
    text = _("Go on with the new keys? yes or no. To compare first: /verify {name}")
    if look.one_line:
        text = _("To go on with the new keys: /trust {name} yes. To compare first: /verify {name}")
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)


def accepted(name: str, look: Look) -> list[Line]:
    """Say that messages go to somebody again."""
    text = _("The new keys of {name} are accepted. What was not sent goes with /resend NUMBER.")
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)


def nothing_changed(info: ContactInfo, look: Look) -> list[Line]:
    """Say that there is nothing to accept, and how it stands."""
    text = _("There are no changed keys of {name} to accept.")
    shown = text.format(name=safe_name(info.name, NAME_CELLS))
    return [*paragraph(shown, look), *heading(info, look)]


def forgetting(info: ContactInfo, number: str, look: Look) -> list[Line]:
    """Say what dropping the keys of somebody means; `number` is the one with the present keys."""
    name = safe_name(info.name, NAME_CELLS)
    known = _("The number with the keys of {name} that are known here:")
    if info.verified:
        known = _("The number with the keys of {name} that are known here, and that you compared:")
    meaning = _(
        "WARNING: this drops them. Whatever keys the server shows next are believed, as at a first "
        "contact: a server that lies can put its own in and read along. Do it only if {name} has "
        "told you by another way that the account is a new one (the server was set up anew, or "
        "the name belongs to somebody else now). Compare afterwards: /verify {name}"
    )
    return [
        *paragraph(known.format(name=name), look),
        *digit_rows(number, look),
        *paragraph(f"! {meaning.format(name=name)}", look, Style.BAD),
    ]


def ask_forgetting(name: str, look: Look) -> list[Line]:
    """Say how the keys of somebody are dropped; a bare word is not enough."""
    text = _("To drop them all the same: /trust {name} forget {name}")
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)


def forgotten(name: str, look: Look) -> list[Line]:
    """Say that the keys of somebody are dropped."""
    text = _(
        "The keys of {name} are dropped. The next ones count as met for the first time. What was "
        "not sent goes with /resend NUMBER. To compare: /verify {name}"
    )
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look, Style.STRONG)


def nothing_known(name: str, look: Look) -> list[Line]:
    """Say that there is nothing to drop."""
    text = _("No keys of {name} are known here: there is nothing to drop.")
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)


def unchanged(look: Look) -> list[Line]:
    """Say that the answer was no."""
    return paragraph(_("Nothing was changed."), look, Style.DIM)


# --- unencrypted messages -----------------------------------------------------------------------


def plain_meaning(info: ContactInfo, look: Look) -> list[Line]:
    """Say what allowing unencrypted messages means."""
    name = safe_name(info.name, NAME_CELLS)
    if info.plain:
        text = _("Unencrypted messages with {name} are allowed. To forbid them: /plain {name} off")
        return paragraph(text.format(name=name), look)
    text = _(
        "Whoever runs the server can read an unencrypted message, change it, or write one in the "
        "name of {name}. Encrypted ones stay encrypted: yours go unencrypted only while {name} has "
        "no device that can encrypt."
    )
    return paragraph(text.format(name=name), look)


def ask_plain(name: str, look: Look) -> list[Line]:
    """Ask at the prompt whether to allow unencrypted messages."""
    text = _("Allow it with {name}, and show what was withheld? yes or no")
    if look.one_line:
        text = _("To allow it with {name}, and to see what was withheld: /plain {name} on")
    return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)


def plain_set(name: str, revealed: int, look: Look, *, allowed: bool) -> list[Line]:
    """Say what is allowed from now on, and how much of what was withheld follows."""
    if not allowed:
        text = _("Unencrypted messages with {name} are refused.")
        return paragraph(text.format(name=safe_name(name, NAME_CELLS)), look)
    text = _("Unencrypted messages with {name} are allowed.")
    shown = text.format(name=safe_name(name, NAME_CELLS))
    if revealed:
        count = ngettext_(
            "{count} message was withheld:", "{count} messages were withheld:", revealed
        )
        shown += " " + count.format(count=revealed)
    return paragraph(shown, look, Style.STRONG)


# --- emoji --------------------------------------------------------------------------------------

_FAILED: Final = {
    "timeout": N_("Comparing emoji with {name} took too long, or there was no answer."),
    "cancelled": N_(
        "{name} has ended the comparison. If that was because the emoji differed, somebody may be "
        "reading along: send nothing secret, and ask {name} by another way."
    ),
    "withdrawn": N_("{name} does not want to compare emoji any more."),
    "declined": N_("The comparison with {name} is ended."),
    "changed": N_("The keys of {name} have changed meanwhile. Nothing was verified; begin anew."),
}
_TAMPERED: Final = N_(
    "WARNING: comparing emoji with {name} has failed in a way that does not happen by itself. "
    "Somebody may sit between you. Send nothing secret; compare the number instead, by another "
    "way: /verify {name}"
)
_QUIET: Final = frozenset({"timeout", "withdrawn", "declined"})


def comparison(event: ComparisonChanged, own_name: str, look: Look) -> list[Line]:
    """Say how far comparing emoji has come, and what to do now."""
    name = safe_name(event.name, NAME_CELLS)
    match event.stage:
        case "asked":
            text = _("{name} asks to compare emoji. Agree? yes or no")
            if look.one_line:
                text = _(
                    "{name} asks to compare emoji. /verify {name} emoji agrees, /verify {name} no"
                )
            return paragraph(text.format(name=name), look, Style.STRONG)
        case "waiting":
            text = _("Waiting for {name}, who has to type: /verify {own_name} emoji")
            own = safe_name(own_name, NAME_CELLS)
            return paragraph(text.format(name=name, own_name=own), look, Style.DIM)
        case "shown":
            return _emoji(event, name, look)
        case "confirmed":
            text = _("Waiting for {name} to say that they are the same.")
            return paragraph(text.format(name=name), look, Style.DIM)
        case "verified":
            return verified(event.name, look)
        case _:
            return _comparison_failed(event, name, look)


def _emoji(event: ComparisonChanged, name: str, look: Look) -> list[Line]:
    shown = [f"{sign} {_(word)}" for sign, word in event.emoji]
    title = _("Emoji of you and {name}:").format(name=name)
    if look.one_line or look.words:
        rows = [line("  " + ", ".join(shown), Style.STRONG)]
    else:
        width = max([EMOJI_CELLS, *map(cell_width, shown)]) + 2
        columns = max(1, ((look.width or 80) - 2) // width)
        rows = [
            line(
                "  " + "".join(each + " " * (width - cell_width(each)) for each in part).rstrip(),
                Style.STRONG,
            )
            for part in (shown[start : start + columns] for start in range(0, len(shown), columns))
        ]
    ask = _(
        "Does {name} see the same ones, in this order? Ask on the phone, or when you meet. Then: "
        "yes or no"
    )
    if look.one_line:
        ask = _(
            "Does {name} see the same ones, in this order? Ask on the phone, or when you meet. "
            "Then /verify {name} yes, or /verify {name} no"
        )
    return [*paragraph(title, look), *rows, *paragraph(ask.format(name=name), look)]


def _comparison_failed(event: ComparisonChanged, name: str, look: Look) -> list[Line]:
    if event.reason == "differ":
        return differs(event.name, look)
    text = _(_FAILED.get(event.reason, _TAMPERED)).format(name=name)
    if event.reason in _QUIET:
        return paragraph(text, look, Style.DIM)
    return paragraph(f"! {text}", look, Style.BAD)
