"""`jim history NAME`: what this machine's store has, also without a server and beside a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.client.cli import unlocking
from jim.client.cli.accounts import account
from jim.client.cli.output import complain, json_line, message_record, put
from jim.client.console.actions import conversation
from jim.client.console.explain import Exit, exit_code, explain_recipient
from jim.client.console.lines import as_text
from jim.client.console.text import safe_line
from jim.client.console.view import Look
from jim.common.interrupts import run_loop
from jim.errors import NameInvalid
from jim.i18n import _

if TYPE_CHECKING:
    import argparse

    from jim.client import Client
    from jim.client.events import Message, MissingNotice

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
    try:
        messages, told = run_loop(_read(client, options.to, options.limit))
    except NameInvalid as error:
        complain(f"{safe_line(options.to)}: {explain_recipient(error)}")
        return exit_code(error)
    if not messages:
        complain(_("No messages with {name}.").format(name=safe_line(options.to)))
    if options.json:
        for message in messages:
            put(json_line(message_record(message)))
        return Exit.OK
    for line in conversation(messages, told, chosen.name, Look()):
        put(as_text(line))
    return Exit.OK


async def _read(client: Client, peer: str, limit: int) -> tuple[list[Message], list[MissingNotice]]:
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
        return found, await client.notices(peer) if found else []
    finally:
        await client.aclose()
