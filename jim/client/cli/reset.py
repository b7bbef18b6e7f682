"""`jim reset NAME [ADDRESS]`: with the twelve words, begin the account anew here alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jim.client.cli import unlocking
from jim.client.cli.accounts import parse_target, say_how_to_talk
from jim.client.cli.devices import ask
from jim.client.cli.output import complain, put
from jim.client.cli.recover import ask_words, log_in
from jim.client.cli.work import run_client
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.core.names import normalise
from jim.i18n import _, current_language

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client, events


def run(options: argparse.Namespace) -> int:
    """Ask whether that is meant, then for the words, and begin anew.

    Raises:
        JimError: the words are wrong, the server refused them.
    """
    from jim.client import Client

    target = parse_target(options.address or options.server or os.environ.get("JIM_SERVER"))
    name = normalise(options.to)
    if not options.yes and not _is_meant(name):
        complain(_("Nothing was done."))
        return Exit.USAGE
    words = ask_words()
    if not words.strip():
        complain(_("No words: nothing was done."))
        return Exit.USAGE
    opener = unlocking.opener(options, target.address, name)

    def make() -> Client:
        return Client.reset(
            target.address,
            name,
            words,
            data_dir=options.data_dir,
            ca_file=options.ca_file,
            language=current_language(),
            opener=opener,
        )

    async def reset(client: Client, stream: AsyncIterator[events.Event]) -> int:
        status = await log_in(client, stream, options.timeout)
        if status == Exit.OK:
            text = _(
                "{name} begins anew with this device alone. The old recovery words are worth "
                "nothing any more; the new ones are shown once."
            )
            put(text.format(name=safe_line(client.name)))
        return status

    status = run_client(make, reset)
    if status == Exit.OK:
        say_how_to_talk(target.address, name)
    return status


def _is_meant(name: str) -> bool:
    """Say what is going to happen, and have the name typed; without a terminal it is not meant."""
    warning = _(
        "THE LAST RESORT. Every other device is put out of the account {name}, for good, and the\n"
        "recovery words are replaced by new ones. Everybody you write to is told that your keys\n"
        "have changed; who has compared them with you has to do so again. If a device is only\n"
        "lost, use jim recover instead: it removes that device alone.\n"
        "To begin anew, type the name again: "
    )
    return ask(warning.format(name=safe_line(name))).casefold() == name
