"""What a mode is started with, and how each of them ends; the modes differ only in between."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final, NamedTuple

from jim.client.console import view
from jim.client.console.explain import Exit
from jim.client.console.lines import Style
from jim.common.interrupts import on_end
from jim.i18n import _, ngettext_

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.client.console.console import Console
    from jim.client.console.library import OpenClient, OpenShown
    from jim.client.console.lines import Line

LEAVE_S: Final = 3.0
"""A person who leaves waits this long for what is not sent yet; it is kept on disk anyway."""


class Session(NamedTuple):
    """Everything that a mode needs to know."""

    open_client: OpenClient
    open_shown: OpenShown
    name: str
    address: str
    version: str
    colours: bool = True
    timeout_s: float = 60.0
    """How long a pipe waits at its end for its own messages to be stored."""

    @property
    def title(self) -> tuple[str, str, str]:
        """What the banner says: version, name, address."""
        return self.version, self.name, self.address


async def leave(console: Console) -> Exit:
    """End a person's session: wait shortly for what is unsent, say what stays, say goodbye."""
    if console.seen.fatal is None and console.unsent:
        text = _("Waiting for unsent messages: {count}. Ctrl+C: leave now.")
        shown = text.format(count=console.unsent)
        console.screen.report(view.paragraph(shown, console.screen.look, Style.DIM))
        await console.flush_or_hurry(LEAVE_S)
    console.screen.report(what_stays(console))
    console.screen.show(view.disconnecting())
    await console.aclose()
    return console.exit_code if console.seen.fatal is not None else Exit.OK


def what_stays(console: Console) -> list[Line]:
    """Say what has not been sent: kept on disk, or lost because no server was ever reached."""
    queued, lost = console.seen.own.queued, console.waiting
    look = console.screen.look
    shown: list[Line] = []
    if queued:
        text = ngettext_(
            "{count} message is not sent yet; it is kept and goes out the next time.",
            "{count} messages are not sent yet; they are kept and go out the next time.",
            queued,
        )
        shown += view.paragraph(f"! {text.format(count=queued)}", look, Style.STRONG)
    if lost:
        text = ngettext_(
            "{count} message is LOST: this server was never reached, so nothing could be kept.",
            "{count} messages are LOST: this server was never reached, so nothing could be kept.",
            lost,
        )
        shown += view.paragraph(f"! {text.format(count=lost)}", look, Style.BAD)
    return shown


def on_signals(interrupt: Callable[[], None], end: Callable[[], None]) -> None:
    """Call `interrupt` on SIGINT and `end` on SIGTERM and SIGHUP, where the loop can do that."""
    with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
    on_end(end)
