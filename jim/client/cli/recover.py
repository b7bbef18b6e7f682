"""`jim recover NAME [ADDRESS]`: the twelve words make this machine a device of the account."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from jim.client import events
from jim.client.cli import unlocking
from jim.client.cli.accounts import parse_target, say_how_to_talk
from jim.client.cli.devices import is_agreed, remove, show
from jim.client.cli.output import complain, put
from jim.client.cli.work import run_client
from jim.client.console.devices_view import called
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.client.devices import find_device
from jim.errors import JimError
from jim.i18n import N_, _

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client
    from jim.client.address import Address
    from jim.client.devices import Device
    from jim.client.key_opener import KeyOpener

WORDS: Final = 12
"""Recovery words (`jim.crypto.words.COUNT`, which is not loaded before they are there)."""

RECOVERED: Final = N_(
    "{name} is on this machine now. Messages from before stay on your other devices."
)


def run(options: argparse.Namespace) -> int:
    """Ask for the words, or read them from standard input, and log in once.

    Raises:
        JimError: the words are wrong, the server refused them.
    """
    from jim.client import Client

    server = options.address or options.server or os.environ.get("JIM_SERVER")
    target = parse_target(server)
    words = ask_words()
    if not words.strip():
        complain(_("No words: nothing was done."))
        return Exit.USAGE
    opener = unlocking.opener(options, target.address, options.to)

    def make() -> Client:
        return Client.recover(
            target.address,
            options.to,
            words,
            data_dir=options.data_dir,
            ca_file=options.ca_file,
            opener=opener,
        )

    others: list[Device] = []

    async def recover(client: Client, stream: AsyncIterator[events.Event]) -> int:
        status = await log_in(client, stream, options.timeout)
        if status == Exit.OK:
            put(_(RECOVERED).format(name=safe_line(client.name)))
            others.extend(each for each in await client.devices(fresh=True) if not each.is_this)
        return status

    status = run_client(make, recover)
    if status == Exit.OK:
        status = _remove_lost(options, target.address, opener, others)
    if status == Exit.OK:
        say_how_to_talk(target.address, options.to)
    return status


def _remove_lost(
    options: argparse.Namespace, address: Address, opener: KeyOpener | None, others: list[Device]
) -> int:
    """List the other devices, and remove those that are named, or of which the user says so."""
    if others:
        put(_("Your other devices:"))
        show(others)
    chosen = _chosen(options, others)
    if not chosen:
        return Exit.OK
    from jim.client import Client

    async def remove_all(client: Client, stream: AsyncIterator[events.Event]) -> int:
        status = await log_in(client, stream, options.timeout)
        for device in chosen if status == Exit.OK else ():
            await remove(client, device)
        return status

    def make() -> Client:
        return Client(
            address,
            options.to,
            data_dir=options.data_dir,
            ca_file=options.ca_file,
            opener=opener,
        )

    return run_client(make, remove_all)


def _chosen(options: argparse.Namespace, others: list[Device]) -> list[Device]:
    if options.remove_others:
        return others
    if options.remove:
        return [find_device(others, typed) for typed in options.remove]
    return [device for device in others if _is_lost(device)]


def _is_lost(device: Device) -> bool:
    """Ask about a device; a mistyped yes that counted as no would leave a thief's one in."""
    template = _("Remove {device}? Only if it is lost or not yours. yes or no: ")
    return is_agreed(template.format(device=f"{safe_line(device.id)} {called(device)}"))


def ask_words() -> str:
    """Ask for the recovery words; there are none if the input ends before.

    They may be on several lines. They are shown while they are typed: a mistake in one of twelve
    words that nobody sees is worse than somebody who looks over the shoulder once.
    """
    if sys.stdin.isatty():
        sys.stderr.write(_("The twelve recovery words, in one line: "))
        sys.stderr.flush()
    words = ""
    while len(words.split()) < WORDS:
        line = sys.stdin.readline()
        if not line:
            break
        words += f" {line}"
    return words


async def log_in(client: Client, stream: AsyncIterator[events.Event], timeout_s: float) -> int:
    """Wait until the client is connected; otherwise say so.

    Raises:
        JimError: it has stopped for good.
    """
    try:
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                if isinstance(event, events.LinkChanged) and event.state == "online":
                    return Exit.OK
            raise client.error or JimError
    except TimeoutError:
        complain(_("The server was not reached in time. Nothing was changed; try again later."))
        return Exit.NO_CONNECTION
