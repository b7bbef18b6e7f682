"""Show the devices of the own account; names of devices come from other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.console.commands import Answer, yes_or_no
from jim.client.console.keyboard import spellings
from jim.client.console.lines import Line, Style, line
from jim.client.console.text import safe_line, safe_name, wrap
from jim.client.console.view import LATEST_MS, NAME_CELLS, date, paragraph
from jim.i18n import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.console.view import Look
    from jim.client.devices import Device


def listed(devices: Sequence[Device], look: Look) -> list[Line]:
    """List the devices, the oldest first."""
    if not devices:
        text = _("The list of your devices comes with the first connection to the server.")
        return paragraph(text, look, Style.DIM)
    return [row for each in devices for row in _rows(each, look)]


def _rows(device: Device, look: Look) -> list[Line]:
    """Describe a device in a line, or in some on a narrow screen, all but the first indented."""
    text = described(device)
    return [line(row) for row in wrap(text, look.width, 2)] if look.width else [line(text)]


def described(device: Device) -> str:
    """Give a device in one line, by its id, its name and since when it is in."""
    joined = _("since {time}").format(time=date(min(max(device.since_ms, 0), LATEST_MS)))
    parts = [safe_line(device.id), called(device), joined]
    if device.is_this:
        parts.append(_("this device"))
    return "  ".join(parts)


def called(device: Device) -> str:
    """Give what the user calls a device, in quotes that tell it from everything else."""
    return f'"{safe_name(device.name, NAME_CELLS)}"' if device.name else _("without a name")


def is_confirmed(device: Device, own_name: str, typed: str) -> bool:
    """Tell whether the answer removes the device; for this very one the account's name does."""
    if not device.is_this:
        return is_yes(typed)
    return own_name.casefold() in map(str.casefold, spellings(typed.strip()))


def is_yes(typed: str) -> bool:
    """Tell whether somebody has typed "yes", in either language and on either layout."""
    return yes_or_no(typed) is Answer.YES


def question(device: Device, own_name: str, look: Look) -> list[Line]:
    """Say what is about to be removed, and what has to be typed for that."""
    lines = _rows(device, look)
    if device.is_this:
        text = _(
            "That is the device in front of you. Without it you get and send nothing here any "
            "more; what is stored here can still be read. To remove it all the same: {form}"
        )
        answer = own_name
    else:
        text = _(
            "It gets and sends nothing any more, for good; what it has stored already stays on "
            "it. Remove it? yes or no (also: {form})"
        )
        if look.one_line:
            text = _(
                "It gets and sends nothing any more, for good; what it has stored already stays on "
                "it. To remove it: {form}"
            )
        answer = _("yes")
    form = f"/remove {safe_line(device.id)} {safe_line(answer)}"
    return [*lines, *paragraph(text.format(form=form), look)]


def removed(device: Device) -> Line:
    """Say that a device is out."""
    text = _("Removed from your account: {device}.")
    return line(text.format(device=f"{safe_line(device.id)} {called(device)}"))


def renamed(device: Device) -> Line:
    """Say what a device is called now."""
    text = _("{id} is called {name} now, on all your devices.")
    return line(text.format(id=safe_line(device.id), name=called(device)))
