"""`jim-server verify`: word what was found in the database, for people or as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from jim.core.findings import ChainEnd, CheckChain, Fault, Finding, Item, Mailbox, MailboxWalked
from jim.crypto.chain import verify_chain
from jim.errors import StoreError
from jim.i18n import N_, _, ngettext_
from jim.server.admin import DATABASE, say

if TYPE_CHECKING:
    from jim.protocol.messages import Link
    from jim.server.settings import Loaded

SCHEMA: Final = 1
"""Version of the JSON lines; grows when a field changes its meaning or goes, not for a new one."""

Walk = Callable[[Path, CheckChain, Callable[[int, int], None]], Iterator[Item]]
"""Looks through the database of a path, never writing; tells how far it has come."""

SENTENCES: Final = {
    Fault.DAMAGED: N_("the database is damaged: {detail}"),
    Fault.UNREADABLE: N_("the database cannot be read: {detail}"),
    Fault.REFERENCE: N_("row {range} refers to something that is gone ({detail})"),
    Fault.CHAIN: N_("the device chain is not valid: {detail}"),
    Fault.ANSWERS: N_("the answers that are kept do not fit its last number, {last} ({detail})"),
    Fault.POSITIONS: N_("MISSING: position {range}"),
    Fault.LEFT_OVER: N_("position {range} is kept and should not be there"),
    Fault.FRAMES: N_("position {range} holds no message that can be read ({detail})"),
    Fault.SHIFTED: N_("position {range} holds a message for position {detail}"),
    Fault.STATE: N_("the counters of the mailbox contradict each other ({range}; {detail})"),
    Fault.MARKS: N_("the marks of position {range} do not fit the message"),
    Fault.FOREIGN: N_("position {range}: a message from {peer} to {detail} does not belong here"),
    Fault.ORDER: N_("position {range}: messages with {peer} are out of order ({detail})"),
    Fault.CONFLICT: N_(
        "position {range}: message {detail} with {peer} is another one in another mailbox"
    ),
    Fault.DOUBLED: N_("position {range}: a message is there twice ({peer} {detail})"),
    Fault.SEQUENCE: N_(
        "position {range}: the conversation with {peer} has not come so far: {detail}"
    ),
    Fault.NUMBER: N_("position {range}: number {detail} does not fit what {peer} has sent"),
    Fault.MEMBER: N_("the conversation with {peer} contradicts itself ({range})"),
    Fault.TOTAL: N_(
        "the devices have sent {first} messages, but the conversations count {last}; each message"
        " is in one"
    ),
    Fault.KEY: N_("key {range}, to begin sessions with, is not one that can have come in"),
}
"""What is found, in words; `{range}` is a number, or first…last."""

OF_SEVERAL: Final = {
    Fault.POSITIONS: N_("MISSING: positions {range}"),
    Fault.LEFT_OVER: N_("positions {range} are kept and should not be there"),
    Fault.FRAMES: N_("positions {range} hold no messages that can be read ({detail})"),
    Fault.MARKS: N_("the marks of positions {range} do not fit the messages"),
}
"""What is said in another way of first…last. The number decides, never the form that it takes: 21
positions are several in every language."""

NO_AUTHOR: Final = N_(
    "position {range}: a message from {peer} to {detail}, but no such device or conversation is"
    " known"
)
NO_COUNTERS: Final = N_("the counters of the device are gone ({detail})")
"""A `REFERENCE` in a mailbox, and one of a device; otherwise it is about a row of some table."""

CHAIN_DETAILS: Final = {
    "head": N_("its end is not the one that was kept"),
    "devices": N_("its devices are not the ones that were kept"),
    "keys": N_("the devices with keys to begin sessions with are not the ones that have them"),
}
"""Details of `CHAIN` that are words for scripts."""


def verify(loaded: Loaded, walk: Walk, *, as_json: bool) -> bool:
    """Look through the database, print what is found as it is found; tell whether all is well.

    That it cannot be read to the end is found like anything else: a sum always follows.
    """
    faults = mailboxes = 0
    shown = _Progress()
    for item in _to_the_end(walk(loaded.settings.directory / DATABASE, chain_end, shown.tell)):
        shown.clear()
        if isinstance(item, Finding):
            faults += 1
        else:
            mailboxes += 1
        line = _json(item) if as_json else _line(item)
        if line:
            say(line)
    shown.clear()
    if as_json:
        say(_summary_json(mailboxes, faults))
    else:
        say(_summary(mailboxes, faults))
    return not faults


def _to_the_end(items: Iterator[Item]) -> Iterator[Item]:
    try:
        yield from items
    except StoreError as error:
        yield Finding(fault=Fault.UNREADABLE, detail=str(error))


def chain_end(links: Sequence[Link], name: str) -> ChainEnd:
    """Verify a device chain.

    Raises:
        ChainInvalid: it is not the chain of that account.
    """
    state = verify_chain(links, name)
    return ChainEnd(state.head, state.devices, state.revoked, frozenset(state.keys))


def _line(item: Item) -> str:
    """Word an item; a mailbox with faults has been spoken of already."""
    if isinstance(item, Finding):
        return _owner(item.account, item.device) + word(item)
    if not item.is_complete:
        return ""
    return _owner(item.mailbox.account, item.mailbox.device) + _complete(item.mailbox)


def _owner(account: str, device: str) -> str:
    names = " ".join(filter(None, (account, device)))
    return f"{names}: " if names else ""


def _complete(mailbox: Mailbox) -> str:
    first, last = mailbox.acked + 1, mailbox.last_position
    if not last:
        return _("nothing has come yet")
    if not mailbox.waiting:
        return _("complete up to {last}, nothing waits").format(last=last)
    if first == last:
        return _("complete {first} (1 waiting)").format(first=first)
    text = ngettext_(
        "complete {first}…{last} ({count} waiting)",
        "complete {first}…{last} ({count} waiting)",
        mailbox.waiting,
    )
    return text.format(first=first, last=last, count=mailbox.waiting)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}…{last}"


def word(finding: Finding) -> str:
    """Say in the operator's language what was found."""
    detail = finding.detail
    if finding.fault is Fault.CHAIN and detail in CHAIN_DETAILS:
        detail = _(CHAIN_DETAILS[detail])
    return _(_sentence(finding)).format(
        range=_range(finding.first, finding.last),
        first=finding.first,
        last=finding.last,
        peer=finding.peer,
        detail=detail,
    )


def _sentence(finding: Finding) -> str:
    if finding.fault is Fault.REFERENCE and finding.account:
        return NO_AUTHOR if finding.peer else NO_COUNTERS
    if finding.last > finding.first:
        return OF_SEVERAL.get(finding.fault, SENTENCES[finding.fault])
    return SENTENCES[finding.fault]


def _summary(mailboxes: int, faults: int) -> str:
    if not faults and not mailboxes:
        return _(
            "No accounts here yet. If there were some, this is not their database: put a backup in"
            " its place."
        )
    seen = ngettext_("{count} mailbox", "{count} mailboxes", mailboxes).format(count=mailboxes)
    if not faults:
        return _("{mailboxes}: nothing is missing.").format(mailboxes=seen)
    found = ngettext_("{count} fault", "{count} faults", faults).format(count=faults)
    return _("{mailboxes}: {faults}.").format(mailboxes=seen, faults=found)


def _json(item: Item) -> str:
    if isinstance(item, MailboxWalked):
        fields = {**msgspec.to_builtins(item.mailbox), "complete": item.is_complete}
        return _encoded({"type": "mailbox", **fields, "waiting": item.mailbox.waiting})
    return _encoded({"type": "finding", **msgspec.to_builtins(item)})


def _summary_json(mailboxes: int, faults: int) -> str:
    record = {"type": "verified", "complete": not faults, "mailboxes": mailboxes}
    return _encoded({**record, "faults": faults})


def _encoded(record: dict[str, object]) -> str:
    return msgspec.json.encode({"schema": SCHEMA, **record}).decode()


class _Progress:
    """One line on a terminal's standard error that says how far it has come."""

    def __init__(self) -> None:
        self._on = sys.stderr.isatty()
        self._width = 0

    def tell(self, done: int, total: int) -> None:
        if self._on:
            text = _("{done} of {total} segments").format(done=done, total=total)
            sys.stderr.write(f"\r{text:<{self._width}}")
            sys.stderr.flush()
            self._width = len(text)

    def clear(self) -> None:
        """Take the line away before others are printed."""
        if self._width:
            sys.stderr.write(f"\r{'':<{self._width}}\r")
            sys.stderr.flush()
            self._width = 0
