"""Part three: a lying server against the real client library.

The library lives in this process, so that it can be told to come back at once after each lie. It
must answer or close, never hang, never raise what is no `JimError`, and after all lies still work.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from jim.client import Address, Client, Fatal, LinkChanged, LinkState, MessageState, Received
from jim.errors import JimError, LocalError
from jim.protocol import messages as m
from reliability.hostile import torture
from reliability.hostile.liar import TERMS, Ending, Liar, Script
from reliability.hostile.report import Section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME: Final = "carol"
FRAME_BYTES: Final = 32 * 1024
"""Of the greatest lies: beyond what any honest frame before the login has."""

AFTERWARDS: Final = "after all lies"
SETTLE_S: Final = 30.0
"""For the honest end: at once here; only a client that is broken reaches it."""

WAKE_S: Final = 0.1
"""After so long the client is looked at: it may have stopped for good before it took the script."""


def scripts(every: int = 1) -> list[Script]:
    """Give every lie; those before the login only from a part of the cases, for they cost more."""
    cases = torture.server_cases(FRAME_BYTES)
    lies = [Script(case.name, "active", case.frame) for case in cases[::every]]
    by_login = cases[:: every * 4]
    lies += [Script(case.name, "hello", case.frame) for case in by_login]
    lies += [Script(case.name, "login", case.frame) for case in by_login]
    odd = list(_odd_terms())
    chosen = odd[:5] + odd[5::every]
    return lies + [Script(name, "terms", text.encode()) for name, text in chosen]


def _odd_terms() -> Iterator[tuple[str, str]]:
    """Give terms that are signed and make no sense."""
    yield "no JSON", "{"
    yield "empty", ""
    yield "a list", "[]"
    yield "nested", '{"later":' + "[" * 100_000 + "]" * 100_000 + "}"
    yield "long", '{"later":"' + "x" * 500_000 + '"}'
    for name in m.AnnouncedLimits.__struct_fields__:
        for what, value in torture.VALUES.items():
            start, _, rest = TERMS.partition(f'"{name}":')
            _, comma, rest = rest.partition("," if "," in rest.partition("}")[0] else "}")
            yield f"{what} as {name}", f'{start}"{name}":{value}{comma}{rest}'


class _Faults(logging.Handler):
    """Keeps tracebacks that the library logs, and what the loop could not deliver."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what comes with an exception."""
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))

    def note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what the loop reports."""
        self.found.append(f"{context['message']}: {context.get('exception')!r}")


class Victim:
    """The client library under the liar's influence; begun anew when it has stopped for good."""

    def __init__(self, port: int, directory: Path, section: Section) -> None:
        self._port = port
        self._directory = directory
        self._section = section
        self._watch: asyncio.Task[None] | None = None
        self.received: list[str] = []
        self.client: Client

    async def start(self) -> None:
        """Start, or start again after an end for good."""
        self.client = Client(Address("127.0.0.1", self._port), NAME, data_dir=self._directory)
        events = self.client.events()
        await self.client.start()
        self._watch = asyncio.create_task(self._follow(events))

    async def _follow(self, events: Any) -> None:
        async for event in events:
            if isinstance(event, Received):
                self.received.append(event.message.text)
            elif isinstance(event, LinkChanged) and event.state is LinkState.WAITING:
                self._section.count(_word(event.error))
                self.client.retry_now()
            elif isinstance(event, Fatal):
                self._section.count(f"stopped: {_word(event.error)}")

    async def wake(self) -> None:
        """Make sure that it connects again."""
        if self._watch is None or self._watch.done():
            await self.stop()
            await self.start()
        else:
            self.client.retry_now()

    async def stop(self) -> None:
        """End it."""
        await self.client.aclose()
        if self._watch is not None:
            await self._watch


def _word(error: JimError | None) -> str:
    if error is None:
        return "no reason"
    reason = error.fields.get("reason") if isinstance(error, LocalError) else None
    return f"{type(error).__name__} {reason}" if reason else type(error).__name__


async def check_library(directory: Path, every: int = 1) -> Section:
    """Tell the client library every lie, then an honest word."""
    section = Section("client library, lying server")
    faults = _Faults()
    logger = logging.getLogger("jim")
    logger.addHandler(faults)
    asyncio.get_running_loop().set_exception_handler(faults.note)
    try:
        async with Liar(directory) as liar:
            victim = Victim(liar.port, directory / "victim", section)
            liar.scripts.put_nowait(Script("a good start", "active", b""))
            await victim.start()
            await _ended(liar, victim, section, faults)
            for script in scripts(every):
                liar.scripts.put_nowait(script)
                await victim.wake()
                await _ended(liar, victim, section, faults)
            await _check_honest_end(liar, victim, section)
            await victim.stop()
        for fault in faults.found:
            section.violate(f"at the end: {fault[-1000:]}")
        for text in liar.unreadable:
            section.violate(f"the client itself sent what is no message: {text}")
    finally:
        logger.removeHandler(faults)
        asyncio.get_running_loop().set_exception_handler(None)
    return section


async def _ended(liar: Liar, victim: Victim, section: Section, faults: _Faults) -> None:
    """Wait for the end of a script, waking the client if it has stopped before it came so far."""
    section.cases += 1
    while (end := await _next_end(liar)) is None:
        await victim.wake()
    script, ending = end
    section.count(ending)
    if ending == "hangs":
        section.violate(f"{script.point}: {script.name}: the client neither answers nor closes")
    for fault in faults.found:
        section.violate(f"{script.point}: {script.name}: {fault[-1000:]}")
    faults.found.clear()


async def _next_end(liar: Liar) -> tuple[Script, Ending] | None:
    """Give the next script that has ended, None if none has for a moment."""
    try:
        async with asyncio.timeout(WAKE_S):
            return await liar.ended.get()
    except TimeoutError:
        return None


async def _check_honest_end(liar: Liar, victim: Victim, section: Section) -> None:
    """Let the server behave: a message of ours gets its ✓, and what is stored can be read."""
    liar.scripts.put_nowait(Script("an honest end", "honest"))
    try:
        async with asyncio.timeout(SETTLE_S):
            while victim.client.state != LinkState.ONLINE:
                await victim.wake()
                await asyncio.sleep(WAKE_S)
            message = await victim.client.send("bob", AFTERWARDS)
            stored = await victim.client.wait_stored(message.message_id)
            for conversation in await victim.client.conversations():
                with contextlib.suppress(JimError):  # a liar's peer may have no name
                    await victim.client.history(conversation.peer)
    except TimeoutError:
        section.violate("after all lies the client does not work with an honest server")
        return
    if stored.state not in (MessageState.STORED, MessageState.DELIVERED):
        section.violate(f"after all lies a message is {stored.state}")
    section.figures["messages_kept"] = float(len(victim.received))
