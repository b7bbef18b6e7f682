"""`jim recover NAME [ADDRESS]`: the twelve words make this machine a device of the account."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from jim.client import events
from jim.client.cli.accounts import parse_target
from jim.client.cli.output import complain, put
from jim.client.cli.work import run_client
from jim.client.console.explain import Exit
from jim.client.console.text import safe_line
from jim.errors import JimError
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client

WORDS: Final = 12
"""Recovery words (`jim.crypto.words.COUNT`, which is not loaded before they are there)."""


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

    def make() -> Client:
        return Client.recover(
            target.address, options.to, words, data_dir=options.data_dir, ca_file=options.ca_file
        )

    return run_client(make, lambda client, stream: _log_in(client, stream, options.timeout))


def ask_words() -> str:
    """Read until there are twelve words or the input ends: they may be on several lines.

    They are shown while they are typed: a mistake in one of twelve words that nobody sees is worse
    than somebody who looks over the shoulder once.
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


async def _log_in(client: Client, stream: AsyncIterator[events.Event], timeout_s: float) -> int:
    try:
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                if isinstance(event, events.LinkChanged) and event.state == "online":
                    break
            else:
                raise client.error or JimError
    except TimeoutError:
        complain(_("The server was not reached in time. Nothing was changed; try again later."))
        return Exit.NO_CONNECTION
    text = _("{name} is on this machine now. Messages from before stay on your other devices.")
    put(text.format(name=safe_line(client.name)))
    return Exit.OK
