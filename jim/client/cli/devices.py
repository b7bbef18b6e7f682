"""`jim devices`: which devices the account has; take one out of it, or call it something else."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

from jim.client import events
from jim.client.cli.accounts import client_maker
from jim.client.cli.asking import end_line
from jim.client.cli.output import complain, json_line, put
from jim.client.cli.work import LOOK, run_client
from jim.client.console import devices_view
from jim.client.console.commands import Answer, yes_or_no
from jim.client.console.explain import Exit
from jim.client.console.lines import as_text
from jim.client.devices import find_device
from jim.errors import ConnectFailed, JimError
from jim.i18n import _

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from jim.client import Client
    from jim.client.devices import Device


def run(options: argparse.Namespace) -> int:
    """List the devices, remove one, or rename one.

    Raises:
        JimError: the account cannot be opened, no such device, or the server refused it.
    """
    if options.do is None:
        return run_client(
            client_maker(options, share=True),
            lambda client, stream: _list(client, stream, options),
        )
    if not options.device or (options.do == "rename") != bool(options.new_name):
        complain(_("Typed so: jim devices remove DEVICE, or jim devices rename DEVICE NEW-NAME"))
        return Exit.USAGE
    if options.do == "rename":
        return run_client(
            client_maker(options, share=True),
            lambda client, stream: _rename(client, stream, options),
        )
    return _run_remove(options)


def _run_remove(options: argparse.Namespace) -> int:
    """Remove a device; a person is asked first, while nothing else goes on.

    In a script only the device that it runs on is asked about, and without an answer it stays.
    """
    asked: list[tuple[Client, Device]] = []

    async def work(client: Client, stream: AsyncIterator[events.Event]) -> int:
        if not await connected(client, stream, options.timeout):
            raise client.error or ConnectFailed("not connected")
        # The very one that was asked about, whatever else fits what was typed by now.
        wanted = asked[0][1].id if asked else options.device
        device = find_device(await client.devices(fresh=True), wanted)
        if (device.is_this or sys.stdin.isatty()) and not options.yes and not asked:
            asked.append((client, device))
        else:
            await remove(client, device)
        return Exit.OK

    status = run_client(client_maker(options), work)
    if not asked:
        return status
    client, device = asked[0]
    if not (_is_meant(client.name) if device.is_this else _is_lost(device)):
        complain(_("Nothing was removed."))
        return Exit.USAGE
    return run_client(client_maker(options), work)


async def connected(client: Client, stream: AsyncIterator[events.Event], timeout_s: float) -> bool:
    """Wait for the connection; tell whether it stands. The first failure ends the waiting.

    Raises:
        JimError: the client has stopped for good.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            async for event in stream:
                if isinstance(event, events.LinkChanged) and event.state in {"online", "waiting"}:
                    return event.state == "online"
                if isinstance(event, events.LinkChanged) and event.state == "shared":
                    return False  # whoever has the account keeps the list up to date
            raise client.error or JimError
    return False


async def _list(
    client: Client, stream: AsyncIterator[events.Event], options: argparse.Namespace
) -> int:
    with contextlib.suppress(ConnectFailed):
        fresh = await connected(client, stream, options.timeout)
        if not fresh and client.state != "shared":
            complain(_("No connection: this is the list as it was known the last time."))
        show(await client.devices(fresh=fresh), as_json=options.json)
        return Exit.OK
    show(await client.devices(), as_json=options.json)
    return Exit.OK


def show(devices: list[Device], *, as_json: bool = False) -> None:
    """Print the list."""
    if as_json:
        for device in devices:
            put(json_line(record(device)))
        return
    for line in devices_view.listed(devices, LOOK):
        put(as_text(line))


def record(device: Device) -> dict[str, object]:
    """Give the fields of a device that scripts may rely on (docs/client.md, "JSON")."""
    return {
        "type": "device",
        "id": device.id,
        "name": device.name,
        "this": device.is_this,
        "since_ms": device.since_ms,
    }


async def _rename(
    client: Client, stream: AsyncIterator[events.Event], options: argparse.Namespace
) -> int:
    online = await connected(client, stream, options.timeout)
    put(as_text(devices_view.renamed(await client.rename(options.device, options.new_name))))
    # Without a connection the other devices are told the next time.
    if online:
        await client.flush(options.timeout, everything=True)
    return Exit.OK


async def remove(client: Client, device: Device) -> None:
    """Remove a device and say so.

    Raises:
        JimError: as `Client.revoke`.
    """
    await client.revoke(device.id)
    put(as_text(devices_view.removed(device)))


def _is_meant(name: str) -> bool:
    """Ask whether the device in front of the user is to go; no answer is none."""
    question = _(
        "This is the device in front of you. Without it you get and send nothing here any more.\n"
        "To remove it all the same, type your name ({name}): "
    )
    return ask(question.format(name=name)).casefold() == name


def _is_lost(device: Device) -> bool:
    """Ask whether another device is to go."""
    put(devices_view.described(device))
    text = _("It gets and sends nothing any more, for good. Remove it? (yes, no) ")
    return is_agreed(text)


def is_agreed(question: str) -> bool:
    """Ask until there is a yes or a no; Enter alone is no, and so is what has no terminal."""
    while typed := ask(question):
        answer = yes_or_no(typed)
        if answer is not None:
            return answer is Answer.YES
    return False


def ask(question: str) -> str:
    """Ask at the terminal; without one the answer is empty."""
    if not sys.stdin.isatty():
        return ""
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        end_line()
    return line.strip()
