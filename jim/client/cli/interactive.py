"""The seed's client: `[address] [port] -n NAME`, at a prompt or in a pipe."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from typing import TYPE_CHECKING, Final

from jim import __version__
from jim.client.cli import unlocking
from jim.client.cli.accounts import parse_target, target_of, usual_account
from jim.client.console.explain import Exit
from jim.client.console.session import Session
from jim.client.console.text import safe_line
from jim.i18n import _, current_language

if TYPE_CHECKING:
    import argparse

    from jim.client.cli.accounts import Target
    from jim.client.console.library import Messenger
    from jim.client.console.shown import Shown
    from jim.client.key_opener import KeyOpener

DUMB_TERMINALS: Final = frozenset({"", "dumb", "unknown"})


def run(options: argparse.Namespace) -> int:
    """Choose the mode and run it.

    Raises:
        JimError: the command line names no server, or the known ones cannot be read.
    """
    name = options.name or os.environ.get("JIM_NAME") or ""
    if not (_is_terminal(0) and _is_terminal(1)):
        from jim.client.console import pipe_mode

        target = target_of(options, name)
        return pipe_mode.run(lambda given: _session(options, target, given), name)
    name = name or _ask_name(_usual_name(options))
    if not name:
        return Exit.USAGE
    session = _session(options, target_of(options, name), name)
    dumb = os.name != "nt" and os.environ.get("TERM", "dumb") in DUMB_TERMINALS
    if options.plain or dumb:
        from jim.client.console import plain_mode

        return plain_mode.run(session)
    from jim.client.console import line_mode

    return line_mode.run(session)


def _session(options: argparse.Namespace, target: Target, name: str) -> Session:
    opener = unlocking.opener(options, target.address, name) if name else None

    async def open_client() -> Messenger:
        return await asyncio.to_thread(_make_client, options, target, name, opener)

    async def open_shown(client: Messenger) -> Shown:
        from jim.client.cli.places import open_shown

        return await open_shown(target.address, client, options.data_dir)

    return Session(
        open_client,
        open_shown,
        name=name,
        address=str(target.address),
        version=__version__,
        colours=wants_colours(options.color),
        timeout_s=options.timeout,
    )


def _make_client(
    options: argparse.Namespace, target: Target, name: str, opener: KeyOpener | None
) -> Messenger:
    """Import the library and make the client; in a thread: it takes longer than a prompt may."""
    from jim.client import Client
    from jim.client.cli.accounts import pinned

    _begin_log()
    return Client(
        target.address,
        name,
        data_dir=options.data_dir,
        invite=pinned(options, target),
        ca_file=options.ca_file,
        language=current_language(),
        opener=opener,
    )


@functools.cache
def _begin_log() -> None:
    """Begin the log of this process, once: the client may have to be made again."""
    from jim import log_config

    log_config.configure("client")


def _usual_name(options: argparse.Namespace) -> str:
    """Give who it is if nobody says otherwise: the only account here, at the server that is meant.

    Raises:
        JimError: the known servers cannot be read, or the address is none.
    """
    server = options.address or os.environ.get("JIM_SERVER")
    address = parse_target(server, options.port).address if server else None
    usual = usual_account(options, address=address)
    return "" if usual is None else usual.name


def _ask_name(usual: str) -> str:
    """Ask who is there until there is an answer; the end of the input gives "".

    Enter alone is an answer where somebody is usual.
    """
    question = _("Enter your user name: ")
    if usual:
        question = _("Enter your user name (Enter: {name}): ").format(name=safe_line(usual))
    while True:
        sys.stdout.write(question)
        sys.stdout.flush()
        line = sys.stdin.readline()
        if line.strip() or not line:
            return line.strip()
        if usual:
            return usual


def wants_colours(choice: str) -> bool:
    """Decide about colours: the flag, then NO_COLOR (no-color.org), else yes."""
    if choice == "auto":
        return not os.environ.get("NO_COLOR")
    return choice == "always"


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
