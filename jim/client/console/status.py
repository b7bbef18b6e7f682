"""The state of the connection in words, for the status line and for /status; pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.console.explain import explain
from jim.client.console.lines import Line, Style, line
from jim.client.console.text import cell_width, cut
from jim.client.console.view import MARKS, Look, excerpt, paragraph
from jim.i18n import _, ngettext_

if TYPE_CHECKING:
    from jim.client.events import LinkChanged, Message
    from jim.errors import JimError

LEAST: Final = 4
"""Cells of a message's text that are worth showing."""

SEPARATOR: Final = " · "


class Link(NamedTuple):
    """The connection as last heard of; `retry_at` is a time of the clock that was handed in."""

    state: str = "connecting"
    retry_at: float | None = None
    error: JimError | None = None

    @classmethod
    def of(cls, event: LinkChanged, now: float) -> Link:
        """Keep an event, with its delay turned into a time."""
        retry_at = None if event.retry_in_s is None else now + event.retry_in_s
        return cls(str(event.state), retry_at, event.error)

    def describe(self, now: float) -> str:
        """Say the state in two or three words."""
        if self.state == "waiting":
            left = 0 if self.retry_at is None else max(0, math.ceil(self.retry_at - now))
            if left:
                return _("offline, retry in {seconds} s").format(seconds=left)
            return _("offline, connecting")
        words = {
            "online": _("online"),
            "connecting": _("connecting"),
            "stopped": _("disconnected"),
            "shared": _("through the other client"),
        }
        return words.get(self.state, self.state)


def bar(
    link: Link, now: float, queued: int, last: Message | None, width: int, protection: str = ""
) -> str:
    """Give the status line of at most `width` cells: what matters most comes first and stays.

    `protection` says in a word how messages with the addressee of the last one are protected.
    """
    sign = "●" if link.state in {"online", "shared"} else "○"
    parts = [f"{sign} {link.describe(now)}"]
    if queued:
        parts.append(ngettext_("{count} to send", "{count} to send", queued).format(count=queued))
    if link.state == "waiting":
        parts.append(_("Enter: now"))
    shown = parts[0]
    for part in parts[1:]:
        longer = shown + SEPARATOR + part
        if cell_width(longer) > width - 2:
            break
        shown = longer
    if last is not None and link.state != "waiting":
        shown += _last(last, width - 2 - cell_width(shown + SEPARATOR), protection)
    return cut(f" {shown} ", width)


def _last(message: Message, room: int, protection: str) -> str:
    """Give the state of the newest own message in the room that is left, or nothing."""
    head = f"{MARKS.get(message.state, '?')} {excerpt(message.peer, 16)}"
    if protection and cell_width(f"{head} ({protection})") <= room:
        head += f" ({protection})"
        if cell_width(head) + LEAST + 2 > room:
            return f"{SEPARATOR}{head}"
    room -= cell_width(f"{head}: ")
    return f"{SEPARATOR}{head}: {excerpt(message.text, min(24, room))}" if room >= LEAST else ""


def lost(
    link: Link, look: Look, *, was_online: bool = False, has_account: bool = True
) -> list[Line]:
    """Say once for an outage that there is no connection, why, and what happens now."""
    lost_it, never = _("The connection to the server is lost."), _("No connection to the server.")
    reason = ""
    if link.error is not None and (not was_online or "reason" in link.error.fields):
        reason = explain(link.error)
    then = _("Trying again.")
    if has_account:
        then = _("What you write is kept and sent as soon as the server is there; trying again.")
    text = " ".join(part for part in (lost_it if was_online else never, reason, then) if part)
    return paragraph(f"! {text}", look, Style.BAD)


def restored() -> list[Line]:
    """Say that an outage is over."""
    return [line(_("The connection to the server is back."), Style.DIM)]
