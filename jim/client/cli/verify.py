"""`jim verify`: look through this machine's store, and say what is complete and what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from jim.client.cli.accounts import account, parse_target
from jim.client.cli.output import json_line, put
from jim.client.cli.places import account_place
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.client.verify import LOSSES, NOTES, Finding, Kind, Report, Walked
from jim.core.names import normalise
from jim.errors import AccountMissing
from jim.i18n import N_, _, ngettext_

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

INDENT: Final = "  "

SENTENCES: Final = {
    Kind.DAMAGED: N_("the database is damaged: {detail}"),
    Kind.UNREADABLE: N_("the store cannot be read: {detail}"),
    Kind.ALTERED: N_("{peer}: message {range} (number {id} here) is not what was received"),
    Kind.CONTRADICTORY: N_("{peer}: message {range} (number {id} here) has a wrong author"),
    Kind.MISSING: N_("{peer}: MISSING {range}"),
    Kind.DOUBLED: N_(
        "{peer}: two messages at place {range}; a server that was restored from a copy would"
        " explain it"
    ),
    Kind.MISPLACED: N_("{peer}: message {range} (number {id} here) is shown at a wrong place"),
    Kind.NUMBER_MISSING: N_("own messages: MISSING {range}; this device has sent it"),
    Kind.NUMBER_DOUBLED: N_("own messages: two have number {range}"),
    Kind.NUMBER_BEYOND: N_(
        "own messages: number {range} counts as stored, but the server has not confirmed it"
    ),
    Kind.OUTBOX: N_("waiting to be sent: number {range} where {detail} should be"),
    Kind.CURSOR: N_("mailbox: the mark of how far it was read, {range}, does not fit what is here"),
    Kind.POSITION_MISSING: N_("mailbox: MISSING position {range}; this device has received it"),
    Kind.POSITION_DOUBLED: N_("mailbox: two messages have position {range}"),
    Kind.NOT_KEPT: N_(
        "{peer}: message {range} never came to this device, and it was told so: its mailbox was"
        " full, or a store was restored from a copy"
    ),
    Kind.BEFORE_JOINING: N_(
        "{peer}: message {range} is not on this device, as is usual for what was before it joined"
        " the account"
    ),
    Kind.PLACE_UNKNOWN: N_(
        "{peer}: {range} taken by a message of yours whose place the server did not tell"
    ),
    Kind.NUMBER_UNKNOWN: N_(
        "own messages: {range} used by a message that failed with an unknown outcome"
    ),
}
"""What is found, in words; `{range}` is a number, or first…last."""

OF_SEVERAL: Final = {
    Kind.NUMBER_MISSING: N_("own messages: MISSING {range}; this device has sent them"),
    Kind.POSITION_MISSING: N_("mailbox: MISSING positions {range}; this device has received them"),
    Kind.NOT_KEPT: N_(
        "{peer}: messages {range} never came to this device, and it was told so: its mailbox was"
        " full, or a store was restored from a copy"
    ),
    Kind.BEFORE_JOINING: N_(
        "{peer}: messages {range} are not on this device, as is usual for what was before it joined"
        " the account"
    ),
    Kind.PLACE_UNKNOWN: N_(
        "{peer}: {range} taken by messages of yours whose place the server did not tell"
    ),
    Kind.NUMBER_UNKNOWN: N_(
        "own messages: {range} used by messages that failed with an unknown outcome"
    ),
}
"""What is said in another way of first…last. The number decides, never the form that it takes: 21
messages are several in every language."""


class Place(NamedTuple):
    """An account's directory, and how its server is called: by address, else by fingerprint."""

    directory: Path
    server: str
    is_known: bool
    """Whether the other commands find it: its store is there, and its server is known."""

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.directory.name


def run(options: argparse.Namespace) -> int:
    """Verify one account, or with `--all` every one of this machine; 1 if something is wrong.

    Raises:
        JimError: no such account.
    """
    from jim.client.verify_store import verify_account

    faulty = False
    for place in _chosen(options):
        report = verify_account(place.directory)
        faulty = faulty or not report.is_complete
        for line in _records(place, report) if options.json else _lines(place, report):
            put(line)
    return Exit.FAILURE if faulty else Exit.OK


def _chosen(options: argparse.Namespace) -> list[Place]:
    """Choose as the other commands do; an account that fits and has no store is never left out."""
    places = _places(options.data_dir)
    if options.all and places:
        return places
    fitting = [place for place in places if _fits(place, options)]
    unknown = [place for place in fitting if not place.is_known]
    try:
        chosen = account(options)
    except AccountMissing:
        if not unknown or len(unknown) < len(fitting):
            raise
        return unknown
    directory = account_place(chosen.address, chosen.name, options.data_dir)
    return [*(place for place in fitting if place.directory == directory), *unknown]


def _places(data_dir: Path | None) -> list[Place]:
    from jim.client import local_accounts
    from jim.client.known_servers import KnownServers
    from jim.crypto.keys import short_fingerprint

    folder = data_dir or local_accounts.default_data_dir()
    servers: dict[str, str] = {}
    for server in KnownServers(folder).all():
        servers.setdefault(short_fingerprint(server.server_id), server.address)
    return [
        Place(
            directory,
            servers.get(directory.parent.name, directory.parent.name),
            directory.parent.name in servers and (directory / local_accounts.STORE_FILE).exists(),
        )
        for directory in local_accounts.account_directories(folder)
    ]


def _fits(place: Place, options: argparse.Namespace) -> bool:
    name = options.name or os.environ.get("JIM_NAME")
    server = options.server or os.environ.get("JIM_SERVER")
    if name and place.name != normalise(name):
        return False
    if not server:
        return True
    address = parse_target(server).address
    return account_place(address, place.name, options.data_dir) == place.directory


def _lines(place: Place, report: Report) -> Iterator[str]:
    yield f"{safe_line(place.name)} ({safe_line(place.server)})"
    if not any(finding.kind is Kind.UNREADABLE for finding in report.findings):
        for line in _summaries(report):
            yield INDENT + line
    for finding in report.findings:
        yield INDENT + word(finding)
    for line in _verdict(report):
        yield INDENT + line


def _verdict(report: Report) -> Iterator[str]:
    """Say how much is wrong; a message that is gone counts once, whatever gives it away."""
    lost = report.lost
    if lost:
        text = ngettext_("{count} message is missing.", "{count} messages are missing.", lost)
        yield text.format(count=lost)
    others = sum(f.is_fault and f.kind not in LOSSES for f in report.findings)
    if others and lost:
        text = ngettext_("{count} other fault.", "{count} other faults.", others)
        yield text.format(count=others)
    elif others:
        yield ngettext_("{count} fault.", "{count} faults.", others).format(count=others)
    elif not lost and any(finding.kind is Kind.NOT_KEPT for finding in report.findings):
        yield _("Nothing else is missing.")
    elif not lost:
        yield _("Nothing is missing.")


def _summaries(report: Report) -> Iterator[str]:
    if not any(f.kind.startswith("number") and f.is_fault for f in report.findings):
        yield _("own messages: {range}").format(range=_complete(1, report.confirmed_n))
    if report.queued:
        count = report.queued
        text = ngettext_("{count} message waiting", "{count} messages waiting", count)
        yield text.format(count=count)
    unsound = {Kind.CURSOR, Kind.POSITION_MISSING, Kind.POSITION_DOUBLED}
    if report.position > report.walked_from and not any(
        finding.kind in unsound for finding in report.findings
    ):
        walked = _complete(report.walked_from + 1, report.position)
        yield _("mailbox: {range}").format(range=walked)
    for each in report.conversations:
        if _is_complete(each, report):
            yield f"{safe_line(each.peer)}: {_complete(1, each.last)}"
        elif each.messages:
            text = ngettext_(
                "{peer}: {count} message here, the last one at place {last}",
                "{peer}: {count} messages here, the last one at place {last}",
                each.messages,
            )
            yield text.format(peer=safe_line(each.peer), count=each.messages, last=each.last)


def _is_complete(walked: Walked, report: Report) -> bool:
    """Tell whether a conversation can be called complete: not if its end may be gone."""
    about = (f for f in report.findings if f.peer == walked.peer)
    return report.knows_ends and all(f.kind is Kind.PLACE_UNKNOWN for f in about)


def _complete(first: int, last: int) -> str:
    if last < first:
        return _("none yet")
    if last == first:
        return _("complete {first}").format(first=first)
    return _("complete {first}…{last}").format(first=first, last=last)


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}…{last}"


def word(finding: Finding) -> str:
    """Say in the user's language what was found."""
    sentence = SENTENCES[finding.kind]
    if finding.size > 1:
        sentence = OF_SEVERAL.get(finding.kind, sentence)
    return _(sentence).format(
        peer=safe_line(finding.peer),
        range=_range(finding.first, finding.last),
        id=finding.message_id,
        detail=safe_line(finding.detail),
    )


def _records(place: Place, report: Report) -> Iterator[str]:
    whose = {"account": place.name, "server": place.server}
    for walked in report.conversations:
        yield json_line(
            {"type": "conversation", **whose, **_fields(walked), "complete": _whole(walked, report)}
        )
    for finding in report.findings:
        level = "note" if finding.kind in NOTES else "fault"
        yield json_line({"type": "finding", **whose, "level": level, **_fields(finding)})
    faults = sum(finding.is_fault for finding in report.findings)
    yield json_line(
        {
            "type": "verified",
            **whose,
            "complete": report.is_complete,
            "confirmed_n": report.confirmed_n,
            "queued": report.queued,
            "walked_from": report.walked_from,
            "position": report.position,
            "lost": report.lost,
            "faults": faults,
        }
    )


def _whole(walked: Walked, report: Report) -> bool:
    faulty = any(f.is_fault and f.peer == walked.peer for f in report.findings)
    return report.knows_ends and not faulty


def _fields(record: Finding | Walked) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(record)
    return fields
