"""`jim plain NAME`: allow unencrypted messages with somebody, and show what was withheld."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.client.cli.accounts import client_maker
from jim.client.cli.asking import ask_yes_or_no
from jim.client.cli.output import put
from jim.client.cli.trust import screen
from jim.client.cli.work import about, run_client
from jim.client.console import trust_view, view
from jim.client.console.commands import Answer
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.errors import OwnAccount
from jim.i18n import _

if TYPE_CHECKING:
    import argparse

    from jim.client import Client


def run(options: argparse.Namespace) -> int:
    """Say what it means and ask, or do what the command line says.

    Raises:
        JimError: the account cannot be opened, or is the one that was named.
    """
    return run_client(
        client_maker(options, share=True),
        lambda client, _: about(options.to, _run(client, options)),
    )


async def _run(client: Client, options: argparse.Namespace) -> int:
    info = await client.contact(options.to)
    if info.name == client.name:
        raise OwnAccount
    wanted = options.state
    if wanted is None:
        for each in trust_view.plain_meaning(info, screen()):
            put(as_text(each))
        if info.plain or await ask_yes_or_no(_("Allow it? (yes, no) ")) is not Answer.YES:
            return Exit.OK
    allowed = wanted != "off"
    revealed = await client.allow_plain(info.name, allowed=allowed)
    now_ms = time.time_ns() // 1_000_000
    lines = trust_view.plain_set(info.name, len(revealed), screen(), allowed=allowed)
    for message in revealed:
        lines += view.past(message, client.name, screen(), now_ms)
    for each in lines:
        put(as_text(each))
    return Exit.OK
