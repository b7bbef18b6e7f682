"""`jim link --approve CODE`: take a new device into the account of this machine."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from jim.client import events
from jim.client.cli.accounts import client_for
from jim.client.cli.asking import ask_yes_or_no
from jim.client.cli.output import complain, put
from jim.client.cli.places import open_shown
from jim.client.cli.work import run_client
from jim.client.console import newcomer
from jim.client.console.commands import Answer
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.client.console.view import Look
from jim.errors import AccountInUse, JimError
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterable

    from jim.client import Client
    from jim.client.console.lines import Line
    from jim.crypto.link_code import LinkCode
    from jim.protocol.messages import Offer

    Events = AsyncIterator[events.Event]

CONNECT_S = 30.0
"""To be online: as `jim send` waits."""

LOOK = Look(words=True)


def run(options: argparse.Namespace) -> int:
    """Show who waits, ask, take it in, and hand the history over.

    Raises:
        LinkCodeInvalid: this is no code.
        JimError: the account cannot be opened, or the client has stopped for good.
    """
    code = newcomer.typed_code(" ".join(options.approve))
    try:
        return run_client(
            lambda: client_for(options),
            lambda client, stream: _Approval(options, client, stream, code).run(),
        )
    except AccountInUse:
        complain(
            _("jim is running with this account. Type there: /link {code}").format(code=code.shown)
        )
        return Exit.FAILURE


class _Approval:
    def __init__(
        self, options: argparse.Namespace, client: Client, stream: Events, code: LinkCode
    ) -> None:
        self._options, self._client, self._stream, self._code = options, client, stream, code

    async def run(self) -> int:
        if not await self._online():
            complain(_("The server was not reached in time. Nothing was changed; try again later."))
            return Exit.NO_CONNECTION
        offer = await self._client.find_device(self._code)
        if offer is None:
            _say(newcomer.nobody(LOOK))
            return Exit.FAILURE
        _say(newcomer.offered(offer, LOOK))
        if not await self._agreed():
            return Exit.USAGE
        return await self._take_in(offer)

    async def _online(self) -> bool:
        timeout_s = CONNECT_S if self._options.timeout is None else self._options.timeout
        try:
            async with asyncio.timeout(timeout_s):
                async for event in self._stream:
                    if isinstance(event, events.LinkChanged) and event.state == "online":
                        return True
        except TimeoutError:
            return False
        raise self._client.error or JimError

    async def _agreed(self) -> bool:
        """Ask a person; where there is none, only --yes agrees."""
        if self._options.yes:
            return True
        if not sys.stdin.isatty():
            complain(_("Nobody to ask here: with --yes the device is taken in without a question."))
            return False
        if await ask_yes_or_no(_("Take this device in? (yes, no) ")) is Answer.YES:
            return True
        complain(_("Nothing was changed."))
        return False

    async def _take_in(self, offer: Offer) -> int:
        cursor = await open_shown(self._client.address, self._client, self._options.data_dir)
        try:
            digits = await self._client.take_in(offer, self._code, cursor.number)
        finally:
            cursor.close()
        for shown in newcomer.linked(digits, LOOK):
            put(as_text(shown))
        telling = newcomer.Progress()
        loop = asyncio.get_running_loop()
        async for event in self._stream:
            if isinstance(event, events.HistoryMoved) and not event.incoming:
                _say(telling.told(event, loop.time(), LOOK))
                if event.ended:
                    return Exit.OK
        raise self._client.error or JimError


def _say(lines: Iterable[Line]) -> None:
    sys.stderr.write("".join(f"{as_text(each)}\n" for each in lines))
    sys.stderr.flush()
