"""An actor in this process: the same client library, the same lines, no process of its own.

For runs in which only the server is broken, a thousand times from the very beginning: it saves the
start of two interpreters each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, Self

from jim.client import Address, Client
from reliability.rig import lines
from reliability.rig.actor import Actor
from reliability.rig.programs import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future
    from pathlib import Path


class Room:
    """An event loop in a thread, where any number of actors live; use as a context."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._loop.shutdown_default_executor()).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Begin something on the loop; wait for it in any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[[], object]) -> None:
        """Have a function called on the loop."""
        self._loop.call_soon_threadsafe(function)


class Inside:
    """An actor that looks to its person like a program."""

    pid = 0
    """It has none of its own: nobody may send it a signal."""

    def __init__(
        self,
        room: Room,
        client: tuple[str, int, str, Path],
        known: tuple[int, int],
        on_line: Callable[[str], None],
    ) -> None:
        """Start it.

        Args:
            room: where it lives.
            client: host and port of the server, name of the account, its data directory.
            known: local numbers from which on the store is told (`Actor.run`).
            on_line: called in the room's thread with each report.
        """
        host, port, name, data_dir = client
        self.errors: list[str] = []
        self._room = room
        self._commands: asyncio.Queue[lines.Command | None] = asyncio.Queue()
        actor = Actor(
            Client(Address(host, port), name, data_dir=data_dir),
            data_dir,
            lambda report: on_line(lines.encoded(report)),
        )
        self._ended = threading.Event()
        self._living = room.run(self._live(actor, known))

    async def _live(self, actor: Actor, known: tuple[int, int]) -> None:
        try:
            await actor.run(*known, self._commands.get)
        except Exception as error:  # noqa: BLE001 - told to whoever asks for the last words
            self.errors.append(f"{type(error).__name__}: {error}")
        finally:
            self._ended.set()

    @property
    def status(self) -> int | None:
        """0 after the end, None before it."""
        return 0 if self._ended.is_set() else None

    def say(self, line: str) -> bool:
        """Tell it a command; False if it has ended."""
        command = lines.commands.decode(line)
        self._room.call(lambda: self._commands.put_nowait(command))
        return not self._ended.is_set()

    def kill(self) -> int:
        """End it; it cannot be killed, so it closes its store."""
        return self.finish()

    def finish(self, timeout_s: float = DEADLINE_S) -> int:
        """End it and wait until it has; gives 0."""
        self._room.call(lambda: self._commands.put_nowait(None))
        self._ended.wait(timeout_s)
        with contextlib.suppress(Exception):
            self._living.result()
        return 0

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait until it has ended by itself; gives 0."""
        self._ended.wait(timeout_s)
        return 0

    def last_words(self) -> str:
        """Give what it raised."""
        return "\n".join(self.errors)
