"""`jim verify`: look through this machine's store, and say what is complete and what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from jim.client.cli.accounts import account
from jim.client.cli.output import json_line, put
from jim.client.cli.places import account_place
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.client.verify import NOTES, Finding, Kind, Report, Walked
from jim.i18n import N_, _, ngettext_

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from jim.client import KnownAccount

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
    Kind.NUMBER_MISSING: N_("own messages: MISSING {range}; this device has sent them"),
    Kind.NUMBER_DOUBLED: N_("own messages: two have number {range}"),
    Kind.NUMBER_BEYOND: N_(
        "own messages: number {range} counts as stored, but the server has not confirmed it"
    ),
    Kind.OUTBOX: N_("waiting to be sent: number {range} where {detail} should be"),
    Kind.CURSOR: N_("the place in the mailbox ({range}) cannot be right"),
    Kind.NOT_KEPT: N_(
        "{peer}: {range} never came to this device, and it was told so: its mailbox was full, or a"
        " store was restored from a copy"
    ),
    Kind.BEFORE_JOINING: N_(
        "{peer}: {range} not on this device, as is usual for what was before it joined the account"
    ),
    Kind.PLACE_UNKNOWN: N_(
        "{peer}: {range} taken by messages of yours whose place the server did not tell"
    ),
    Kind.NUMBER_UNKNOWN: N_(
        "own messages: {range} used by messages that failed with an unknown outcome"
    ),
}
"""What is found, in words; `{range}` is a number or first…last."""


def run(options: argparse.Namespace) -> int:
    """Verify one account, or with `--all` every one of this machine; 1 if something is wrong.

    Raises:
        JimError: no such account.
    """
    faults = 0
    for chosen in _chosen(options):
        report = _report(chosen, options)
        faults += sum(finding.is_fault for finding in report.findings)
        for line in _records(chosen, report) if options.json else _lines(chosen, report):
            put(line)
    return Exit.FAILURE if faults else Exit.OK


def _chosen(options: argparse.Namespace) -> list[KnownAccount]:
    from jim.client import known_accounts

    if options.all:
        return known_accounts(options.data_dir) or [account(options)]
    return [account(options)]


def _report(chosen: KnownAccount, options: argparse.Namespace) -> Report:
    from jim.client.verify_store import verify_account
    from jim.errors import AccountMissing

    place = account_place(chosen.address, chosen.name, options.data_dir)
    if place is None:
        raise AccountMissing
    return verify_account(place)


def _lines(chosen: KnownAccount, report: Report) -> Iterator[str]:
    yield f"{safe_line(chosen.name)} ({chosen.address})"
    if not any(finding.kind is Kind.UNREADABLE for finding in report.findings):
        for line in _summaries(report):
            yield INDENT + line
    for finding in report.findings:
        yield INDENT + word(finding)
    faults = sum(finding.is_fault for finding in report.findings)
    if faults:
        yield INDENT + ngettext_("{count} fault.", "{count} faults.", faults).format(count=faults)
    elif any(finding.kind is Kind.NOT_KEPT for finding in report.findings):
        yield INDENT + _("Nothing else is missing.")
    else:
        yield INDENT + _("Nothing is missing.")


def _summaries(report: Report) -> Iterator[str]:
    if not any(f.kind.startswith("number") and f.is_fault for f in report.findings):
        yield _("own messages: {range}").format(range=_complete(1, report.confirmed_n))
    if report.queued:
        count = report.queued
        text = ngettext_("{count} message waiting", "{count} messages waiting", count)
        yield text.format(count=count)
    wrong = {f.peer for f in report.findings if f.peer and f.kind is not Kind.PLACE_UNKNOWN}
    for walked in report.conversations:
        if walked.peer not in wrong:
            yield f"{safe_line(walked.peer)}: {_complete(1, walked.last)}"
        elif walked.messages:
            text = _("{peer}: from {range}, {count} here")
            yield text.format(
                peer=safe_line(walked.peer),
                range=_range(walked.first, walked.last),
                count=walked.messages,
            )


def _complete(first: int, last: int) -> str:
    if last < first:
        return _("none yet")
    return _("complete {range}").format(range=_range(first, last))


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}…{last}"


def word(finding: Finding) -> str:
    """Say in the user's language what was found."""
    return _(SENTENCES[finding.kind]).format(
        peer=safe_line(finding.peer),
        range=_range(finding.first, finding.last),
        id=finding.message_id,
        detail=safe_line(finding.detail),
    )


def _records(chosen: KnownAccount, report: Report) -> Iterator[str]:
    whose = {"account": chosen.name, "server": str(chosen.address)}
    for walked in report.conversations:
        yield json_line(
            {"type": "conversation", **whose, **_fields(walked), **_state(walked, report)}
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
            "faults": faults,
        }
    )


def _state(walked: Walked, report: Report) -> dict[str, object]:
    faulty = any(f.is_fault and f.peer == walked.peer for f in report.findings)
    return {"complete": not faulty}


def _fields(record: Finding | Walked) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(record)
    return fields
