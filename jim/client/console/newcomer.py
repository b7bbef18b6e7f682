"""What taking a new device in looks like: the code as typed, who waits, and how far its history is.

The console and `jim link` share it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jim.client.console import view
from jim.client.console.commands import Action, Answer, yes_or_no
from jim.client.console.dialogue import Run
from jim.client.console.keyboard import to_qwerty
from jim.client.console.lines import Style, line
from jim.client.console.questions import Kind, Question
from jim.client.console.text import cut, safe_line
from jim.errors import JimError, LinkCodeInvalid, OfferGone
from jim.i18n import _, ngettext_

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jim.client.console.console import Console
    from jim.client.console.library import Messenger
    from jim.client.console.lines import Line
    from jim.client.console.view import Look
    from jim.client.events import HistoryMoved
    from jim.crypto.link_code import LinkCode
    from jim.protocol.messages import Offer

REMOTE_CELLS: Final = 40
"""Of what the server and a device that is not ours say about it: one line of a narrow terminal."""

TOLD_EVERY_S: Final = 10.0
"""Between two lines about a history that is on its way: a long one takes minutes."""


def typed_code(text: str) -> LinkCode:
    """Read a code however it was typed: in groups or not, in either case, on either layout.

    Raises:
        LinkCodeInvalid: it is none.
    """
    from jim.crypto.link_code import parse_code

    try:
        return parse_code(text)
    except LinkCodeInvalid:
        return parse_code(to_qwerty(text))


def offered(offer: Offer, look: Look) -> list[Line]:
    """Say who waits: what can be checked first, then what the server and the device say."""
    from jim.crypto.base32 import grouped
    from jim.crypto.keys import device_id

    minutes, seconds = divmod(offer.age_s, 60)
    rows = (
        _("A new device wants to be in your account, and it shows this code:"),
        _("  device   {device}").format(device=grouped(device_id(offer.login_key))),
        _("  address  {address}").format(address=_remote(offer.address)),
        _("  waiting  for {minutes} min {seconds} s").format(minutes=minutes, seconds=seconds),
        _("  program  {client}").format(client=_remote(offer.client) or "?"),
    )
    warning = _("It will read everything, also what was written before. Only if it is yours:")
    shown = [*view.paragraph(rows[0], look, Style.STRONG), *(line(row) for row in rows[1:])]
    return [*shown, *view.paragraph(warning, look)]


def _remote(text: str) -> str:
    return cut(safe_line(text), REMOTE_CELLS)


def nobody(look: Look) -> list[Line]:
    """Say that no device shows the code, and what to do."""
    text = _(
        "No new device of your account shows this code. Compare it with the other screen; it "
        "changes there every few minutes. The other device must be at the same server and under "
        "the same name."
    )
    return view.paragraph(f"! {text}", look, Style.BAD)


def linked(digits: str, look: Look, *, here: bool = False) -> list[Line]:
    """Show what both devices show in the end; `here` on the new one."""
    if here:
        text = _("This device is in the account now. Both devices show these digits:")
    else:
        text = _("The new device is in your account. Both devices show these digits:")
    note = _("Different ones mean that somebody else was at work: take the device out again.")
    shown = [*view.paragraph(text, look), line(f"  {digits}", Style.STRONG)]
    return [*shown, *view.paragraph(note, look, Style.DIM)]


def progress(moved: HistoryMoved) -> str:
    """Say how much of the history is there."""
    if moved.incoming:
        text = _("History from your other device: {done} of {total} messages.")
    else:
        text = _("History to the new device: {done} of {total} messages.")
    return text.format(done=moved.done, total=moved.total)


def at_end(moved: HistoryMoved) -> str:
    """Say that the history is there, or why not."""
    if moved.is_gone:
        return _("The new device was removed before it had all of your history.")
    if moved.incoming:
        text = ngettext_(
            "The history of your other device is here: {count} message.",
            "The history of your other device is here: {count} messages.",
            moved.done,
        )
    else:
        text = ngettext_(
            "The new device has your history: {count} message.",
            "The new device has your history: {count} messages.",
            moved.done,
        )
    return text.format(count=moved.done)


class Progress:
    """What to say about a history on its way, now and then."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._told_s = float("-inf")

    def told(self, moved: HistoryMoved, now_s: float, look: Look) -> list[Line]:
        """Give what to show, mostly nothing."""
        if moved.ended:
            self._told_s = float("-inf")
            return view.paragraph(at_end(moved), look, Style.DIM)
        if now_s < self._told_s + TOLD_EVERY_S or moved.done >= moved.total:
            return []
        self._told_s = now_s
        return view.paragraph(progress(moved), look, Style.DIM)


class Newcomer:
    """The device that was shown last, until somebody has agreed to it."""

    GOOD_S: Final = 600.0
    """Afterwards it has to be looked at again: so long does a new device wait
    (`Limits.linking_s`)."""

    def __init__(self) -> None:
        """Begin without a device."""
        self._asked: tuple[Offer, LinkCode] | None = None
        self._asked_s = 0.0

    async def answer(self, client: Messenger, typed: str, console: Console) -> Sequence[Line]:
        """Take what stands behind /link: a code, or whether the user agrees.

        Raises:
            LinkCodeInvalid: neither.
            JimError: of the client library; unless the device is gone, the answer can be repeated.
        """
        answer = yes_or_no(typed)
        console.seen.questions.close(Kind.DEVICE)
        if answer is None:
            return await self._ask(client, typed_code(typed), console)
        look = console.screen.look
        asked, self._asked = self._asked, None
        if asked is None or time.monotonic() > self._asked_s + self.GOOD_S:
            text = _("There is no new device to agree to. Type /link and the code that it shows.")
            return view.paragraph(text, look)
        if answer is Answer.NO:
            return view.paragraph(_("The device was not taken in."), look, Style.DIM)
        try:
            digits = await client.take_in(*asked, console.seen.shown_id)
        except OfferGone:
            raise
        except JimError:
            self._asked = asked
            console.seen.questions.ask(_question(asked[0]))
            raise
        return linked(digits, look)

    async def _ask(self, client: Messenger, code: LinkCode, console: Console) -> list[Line]:
        self._asked = None
        look = console.screen.look
        offer = await client.find_device(code)
        if offer is None:
            return nobody(look)
        self._asked, self._asked_s = (offer, code), time.monotonic()
        console.seen.questions.ask(_question(offer))
        ask = _("Take it in? yes or no (also: /link yes, /link no)")
        return [*offered(offer, look), *view.paragraph(ask, look, Style.STRONG)]


def _question(offer: Offer) -> Question:
    from jim.crypto.base32 import grouped
    from jim.crypto.keys import device_id

    about = _("the new device {device}").format(device=grouped(device_id(offer.login_key)))
    yes, no = (Run(Action.LINK, answer.value) for answer in (Answer.YES, Answer.NO))
    return Question(Kind.DEVICE, "", about, "/link", yes, no)
