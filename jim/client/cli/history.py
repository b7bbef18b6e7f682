"""`jim history NAME`: what this machine's store has, also without a server and beside a client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.client.cli import unlocking
from jim.client.cli.accounts import account
from jim.client.cli.output import complain, json_line, message_record, put
from jim.client.console import view
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.client.console.text import safe_line
from jim.client.console.view import Look
from jim.common.interrupts import run_loop
from jim.i18n import _

if TYPE_CHECKING:
    import argparse

    from jim.client import Client
    from jim.client.events import Message

PAGE = 500


def run(options: argparse.Namespace) -> int:
    """Print the last messages with somebody, oldest first.

    Raises:
        JimError: there is no such account, or its store cannot be read.
    """
    from jim.client import Client

    chosen = account(options)
    opener = unlocking.opener(options, chosen.address, chosen.name, share=True)
    client = Client(
        chosen.address, chosen.name, data_dir=options.data_dir, share=True, opener=opener
    )
    messages = run_loop(_read(client, options.to, options.limit))
    if not messages:
        complain(_("No messages with {name}.").format(name=safe_line(options.to)))
    now_ms = time.time_ns() // 1_000_000
    for message in messages:
        if options.json:
            put(json_line(message_record(message)))
        else:
            for line in view.past(message, chosen.name, Look(), now_ms):
                put(as_text(line))
    return Exit.OK


async def _read(client: Client, peer: str, limit: int) -> list[Message]:
    await client.start()
    try:
        found: list[Message] = []
        before: int | None = None
        while len(found) < limit:
            page = await client.history(peer, before=before, limit=min(PAGE, limit - len(found)))
            if not page:
                break
            found = page + found
            before = page[0].message_id
        return found
    finally:
        await client.aclose()
