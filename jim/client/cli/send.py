"""`jim send TO [TEXT]`: ends with 0 only after the server has stored the message."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from jim.client.cli.accounts import client_maker
from jim.client.cli.output import complain
from jim.client.cli.work import run_client
from jim.client.console.actions import valid_text
from jim.client.console.explain import (
    Exit,
    code_exit,
    exit_code,
    explain_code,
    explain_recipient,
)
from jim.client.console.splitting import split_text
from jim.client.console.text import safe_line
from jim.errors import JimError, NameInvalid, RecipientUnknown
from jim.i18n import _

if TYPE_CHECKING:
    import argparse

    from jim.client import Client


def run(options: argparse.Namespace) -> int:
    """Send one text, or several messages if it is longer than one may be.

    Raises:
        JimError: the account cannot be opened, or the server refused it.
    """
    text = _text(options)
    if not text.strip():
        complain(_("The text is empty; nothing was sent."))
        return Exit.USAGE
    make = client_maker(options, share=True)
    return run_client(make, lambda client, _: _send(client, options, text))


def _text(options: argparse.Namespace) -> str:
    """Take the text from the command line or from standard input, without its last newline."""
    if options.text is not None:
        return valid_text(options.text)
    return sys.stdin.buffer.read().decode("utf-8", "replace").removesuffix("\n")


async def _send(client: Client, options: argparse.Namespace, text: str) -> int:
    numbers: list[int] = []
    try:
        async with asyncio.timeout(options.timeout):
            await _queue(client, options, text, numbers)
            return await _wait(client, options.to, numbers)
    except (NameInvalid, RecipientUnknown) as error:
        complain(f"{safe_line(options.to)}: {explain_recipient(error)}")
        return exit_code(error)
    except JimError:
        if numbers:  # a script must not take the failure for a reason to send it again
            complain(_("The message is kept, and goes out by itself once this is settled:"))
        raise
    except TimeoutError:
        template = _("Not stored on the server in {seconds} s.")
        kept = _("It is kept and goes out the next time.") if numbers else _("Nothing was sent.")
        complain(f"{template.format(seconds=f'{options.timeout:g}')} {kept}")
        return Exit.NOT_IN_TIME if client.state in {"online", "shared"} else Exit.NO_CONNECTION


async def _queue(
    client: Client, options: argparse.Namespace, text: str, numbers: list[int]
) -> None:
    """Put the text into the outbox; with `--id`, each part under a key of its own."""
    for place, part in enumerate(split_text(text, client.limits.text_bytes)):
        key = f"{options.id}#{place}" if options.id and place else options.id
        numbers.append((await client.send(options.to, part, key=key)).message_id)


async def _wait(client: Client, to: str, numbers: list[int]) -> int:
    for number in numbers:
        message = await client.wait_stored(number)
        if message.state == "failed":
            code = message.error_code or "internal"
            complain(f"{safe_line(to)}: {explain_code(code)}")
            return code_exit(code)
    return Exit.OK
