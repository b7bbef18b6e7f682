"""The commands at work: each calls the client library and gives the lines to show."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jim.client.console import devices_view, notices, trust_view, view
from jim.client.console.commands import NAMING, Action, Answer, yes_or_no
from jim.client.console.dialogue import Run
from jim.client.console.lines import Line, Style, line
from jim.client.console.questions import Kind, Question
from jim.client.console.splitting import split_text
from jim.client.console.text import safe_line, safe_name
from jim.client.devices import find_at_start
from jim.i18n import _, ngettext_

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from jim.client.console.console import Console
    from jim.client.console.dialogue import Send
    from jim.client.console.library import Messenger
    from jim.client.console.reactions import Screen
    from jim.client.console.view import Look
    from jim.client.devices import Device
    from jim.client.events import Message, MissingNotice

LATEST = 10
"""Own messages listed by /status: half a small screen."""

_BOTH: Final = (Answer.YES, Answer.NO)


async def send(client: Messenger, intention: Send, screen: Screen) -> AsyncIterator[Message]:
    """Put a text into the outbox, in several messages if it is longer than one may be.

    Yields:
        Each message once it is durably in the outbox.

    Raises:
        JimError: as `Client.send`; the parts before the one refused are sent.
    """
    parts = split_text(valid_text(intention.text), client.limits.text_bytes)
    if len(parts) > 1:
        template = ngettext_(
            "The text is long: it goes as {count} message.",
            "The text is long: it goes as {count} messages.",
            len(parts),
        )
        screen.report([line(template.format(count=len(parts)), Style.DIM)])
    for part in parts:
        yield await client.send(intention.to, part)


def valid_text(text: str) -> str:
    """Replace what is no Unicode: bytes that the terminal sent and that were no UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


async def run(client: Messenger, intention: Run, console: Console) -> list[Line]:
    """Run a command other than sending; `quit` is the mode's own.

    Raises:
        JimError: of the client library.
    """
    if intention.action is Action.LINK:
        return list(await console.newcomer.answer(client, intention.name, console))
    return await _run(client, intention, console)


async def _run(client: Messenger, intention: Run, console: Console) -> list[Line]:
    look = console.screen.look
    match intention.action:
        case Action.HELP:
            return view.full_help(look)
        case Action.WHO:
            contacts = await client.presence()
            return view.contacts(contacts.online, contacts.offline, look)
        case Action.HISTORY:
            return await _history(client, intention, console)
        case Action.STATUS:
            own, link = console.seen.own, console.seen.link
            now, now_ms = time.monotonic(), time.time_ns() // 1_000_000
            return view.state(link.describe(now), own.queued, own.latest(LATEST), look, now_ms)
        case Action.RETRY:
            client.retry_now()
            return []
        case Action.CANCEL:
            return [_cancelled(done=await client.cancel(intention.number))]
        case Action.RESEND:
            await client.resend(intention.number)
            return []
        case _:
            return await _run_rest(client, intention, console)


async def _run_rest(client: Messenger, intention: Run, console: Console) -> list[Line]:
    """Run what is about whom to believe, or about devices."""
    if intention.action not in NAMING:
        return await _run_about_devices(client, intention, console)
    shown = await console.trusting.run(client, intention, console.screen.look)
    await console.seen.look_at(intention.name, client)
    return shown


async def _run_about_devices(client: Messenger, intention: Run, console: Console) -> list[Line]:
    devices = await client.devices()
    try:
        if intention.action is Action.REMOVE:
            return await _remove(client, devices, intention.text, console)
        if intention.action is Action.RENAME:
            device, name = find_at_start(devices, intention.text, more=True)
            return [devices_view.renamed(await client.rename(device.id, name))]
        return devices_view.listed(devices, console.screen.look)
    finally:
        await console.seen.look_at_devices(client)


async def _remove(
    client: Messenger, devices: Sequence[Device], typed: str, console: Console
) -> list[Line]:
    """Remove a device if that was confirmed, otherwise say how it is."""
    questions, look = console.seen.questions, console.screen.look
    questions.close(Kind.REMOVAL)
    device, answer = find_at_start(devices, typed)
    if devices_view.is_confirmed(device, client.name, answer):
        return [devices_view.removed(await client.revoke(device.id))]
    if yes_or_no(answer) is Answer.NO:
        return trust_view.unchanged(look)
    yes, no = (Run(Action.REMOVE, text=f"{device.id} {each.value}") for each in _BOTH)
    form, own = f"/remove {safe_line(device.id)}", device.is_this
    questions.ask(
        Question(
            Kind.REMOVAL,
            "",
            _("removing {device}").format(device=devices_view.called(device)),
            form,
            None if own else yes,
            no,
            safe_line(client.name) if own else "",
        )
    )
    return devices_view.question(device, client.name, look)


async def _history(client: Messenger, intention: Run, console: Console) -> list[Line]:
    messages = await client.history(intention.name, limit=intention.number)
    if not messages:
        text = _("No messages with {name}.")
        return [line(text.format(name=safe_name(intention.name, view.NAME_CELLS)), Style.DIM)]
    look = console.screen.look
    info = await client.contact(intention.name)
    told = await client.notices(intention.name)
    return [
        *([] if look.one_line else trust_view.heading(info, look)),
        *conversation(messages, told, client.name, look),
    ]


def conversation(
    messages: Sequence[Message], told: Sequence[MissingNotice], own_name: str, look: Look
) -> list[Line]:
    """Show a piece of a conversation, with what was said about it in between.

    Notices from before the piece are left out.
    """
    now_ms = time.time_ns() // 1_000_000
    rest = [each for each in told if messages and each.time_ms >= messages[0].time_ms]
    shown: list[Line] = []
    for message in messages:
        while rest and rest[0].time_ms < message.time_ms:
            shown += notices.notice(rest.pop(0), own_name, look)
        shown += view.past(message, own_name, look, now_ms)
    for each in rest:
        shown += notices.notice(each, own_name, look)
    return shown


def _cancelled(*, done: bool) -> Line:
    if done:
        return line(_("The message is not going to be sent."), Style.DIM)
    return line(_("Too late, or no such message: /status lists the latest ones."), Style.DIM)
