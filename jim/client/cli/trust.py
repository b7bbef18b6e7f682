"""`jim trust NAME`: the 60 digits to compare, and whether to go on with changed or other keys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from jim.client import events
from jim.client.cli.accounts import client_maker
from jim.client.cli.asking import ask, ask_yes_or_no
from jim.client.cli.output import columns, complain, json_line, put
from jim.client.cli.work import LOOK, about, run_client
from jim.client.console import trust_view
from jim.client.console.commands import Answer
from jim.client.console.explain import Exit
from jim.client.console.keyboard import spellings
from jim.client.console.lines import as_text
from jim.client.console.view import Look
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from jim.client import Client
    from jim.client.cli.work import Events
    from jim.client.console.lines import Line

CONNECTING = events.LinkState.CONNECTING
WIDE_CELLS = 78
"""Digits in rows, as at the prompt, and short lines; also where there is no terminal."""


def screen() -> Look:
    """Give what standard output can show."""
    return Look(width=min(WIDE_CELLS, columns(sys.stdout) or WIDE_CELLS))


def run(options: argparse.Namespace) -> int:
    """Show the number and ask, or accept changed keys.

    Raises:
        JimError: the account cannot be opened, or the keys cannot be had.
    """
    return run_client(
        client_maker(options, share=True),
        lambda client, stream: about(options.to, _run(client, stream, options)),
    )


async def _run(client: Client, stream: Events, options: argparse.Namespace) -> int:
    if options.accept:
        return await _accept(client, options)
    if options.forget:
        return await _forget(client, options)
    if not (await client.contact(options.to)).known:
        await _connected(stream)
    number = await client.safety_number(options.to)
    info = await client.contact(options.to)
    if options.json:
        put(
            json_line(
                {
                    "type": "trust",
                    "name": info.name,
                    "number": number,
                    "devices": info.devices,
                    "verified": info.verified,
                    "changed": info.changed,
                    "plain": info.plain,
                }
            )
        )
        return Exit.OK
    if options.number is not None:
        same = "".join(options.number.split()) == number.replace(" ", "")
        return await _verify(client, info.name, number) if same else _differs(info.name)
    _show(trust_view.heading(info, screen()))
    _show(trust_view.number(info.name, number, info, screen()))
    match await ask_yes_or_no(_("Is it the same? (yes, no) ")):
        case Answer.YES:
            return await _verify(client, info.name, number)
        case Answer.NO:
            return _differs(info.name)
    _show(trust_view.unchanged(screen()) if sys.stdin.isatty() else [])
    return Exit.OK


async def _connected(stream: Events) -> None:
    """Wait for the outcome of the first attempt to connect: the server has to be asked."""
    async for event in stream:
        if isinstance(event, events.LinkChanged) and event.state is not CONNECTING:
            return


async def _verify(client: Client, name: str, number: str) -> int:
    if await client.mark_verified(name, number):
        _show(trust_view.verified(name, screen()))
        return Exit.OK
    _show(trust_view.number_changed(name, screen()))
    return Exit.FAILURE


def _differs(name: str) -> int:
    for each in trust_view.differs(name, LOOK):
        complain(as_text(each))
    return Exit.FAILURE


async def _accept(client: Client, options: argparse.Namespace) -> int:
    info = await client.contact(options.to)
    if not info.changed:
        _show(trust_view.nothing_changed(info, screen()))
        return Exit.OK
    _show(trust_view.changed(info.name, screen()))
    if (
        not options.yes
        and await ask_yes_or_no(_("Go on with the new keys? (yes, no) ")) is not Answer.YES
    ):
        _show(trust_view.unchanged(screen()))
        return Exit.FAILURE
    await client.accept_changed(options.to)
    _show(trust_view.accepted(info.name, screen()))
    return Exit.OK


async def _forget(client: Client, options: argparse.Namespace) -> int:
    """Drop the keys of somebody; a person has to type the name again, a script `--yes`."""
    number = await client.known_number(options.to)
    info = await client.contact(options.to)
    if number is None:
        _show(trust_view.nothing_known(info.name, screen()))
        return Exit.OK
    _show(trust_view.forgetting(info, number, screen()))
    question = _("To drop them all the same, type the name ({name}): ")
    if not options.yes and not _is(info.name, await ask(question.format(name=info.name))):
        _show(trust_view.unchanged(screen()))
        return Exit.FAILURE
    await client.forget_keys(options.to)
    _show(trust_view.forgotten(info.name, screen()))
    return Exit.OK


def _is(name: str, typed: str) -> bool:
    return name.casefold() in map(str.casefold, spellings(typed))


def _show(lines: Sequence[Line]) -> None:
    for each in lines:
        put(as_text(each))
