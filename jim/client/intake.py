"""Frames of the mailbox on their way into the store, where some have to wait for a device chain."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from jim.client.errands import now_ms
from jim.client.link import protocol_error
from jim.protocol.messages import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jim.client.accounts import Account
    from jim.client.errands import Errands
    from jim.client.mailbox import Frame, Kept


HELD_BYTES: Final = 8 * 1024 * 1024
"""Of texts that may wait for a device chain. An honest server answers behind what it has queued
already (`Limits.outgoing_bytes`, 1 MiB); a few answers may follow each other."""

FRAME_BYTES: Final = 512
"""Counted for a frame beside its text: what its names and numbers take in memory."""


class Intake:
    """Keeps frames in their order; what it has taken and not kept is lost with the connection."""

    def __init__(
        self,
        account: Account,
        errands: Errands,
        kept: Callable[[Kept], None],
        fail: Callable[[Exception], None],
    ) -> None:
        """Take an open account, who asks for chains, and whom to tell of what is durable."""
        self._account, self._errands = account, errands
        self._kept, self._fail = kept, fail
        self._waiting: deque[Frame] = deque()
        self._task: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._held_bytes = 0
        self._asks = False
        """A chain has been asked for, and meanwhile everything else is read on."""

    async def add(self, frames: Iterable[Frame]) -> None:
        """Take frames; returns once the disk has them, or they wait for an answer of the server.

        Waiting here is the back-pressure: nothing more is read than the disk can take.
        """
        for frame in frames:
            self._waiting.append(frame)
            self._held_bytes += _size_bytes(frame)
        if self._asks and self._held_bytes > HELD_BYTES:
            self._give_up("too much comes before a device chain is shown")
            return
        if self._task is None or self._task.done():
            self._idle.clear()
            self._task = asyncio.create_task(self._work())
        await self._idle.wait()

    def lose(self) -> None:
        """Forget what has not been kept: it comes again with the next connection."""
        self._waiting.clear()
        self._held_bytes = 0

    def cancel(self) -> None:
        """Stop asking; what is on its way to the disk gets there."""
        self.lose()
        if self._task is not None:
            self._task.cancel()

    async def settled(self) -> None:
        """Wait until nothing is on its way to the disk any more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            await self._keep_all()
        except Exception as error:  # noqa: BLE001 - of the store; nothing else is expected
            self._fail(error)
        finally:
            self._idle.set()

    async def _keep_all(self) -> None:
        seen: frozenset[str] = frozenset()
        while self._waiting:
            frames = list(self._waiting)
            self.lose()
            asked, now = seen, now_ms()
            kept = await self._account.writer.write(
                lambda store, frames=frames, now=now, asked=asked: store.keep(frames, now, asked)  # type: ignore[misc]
            )
            if kept.position:
                seen = frozenset()
                self._kept(kept)
            if not kept.lacking:
                continue
            held = [frame for frame in frames if frame.position > kept.position]
            self._waiting.extendleft(reversed(held))
            self._held_bytes += sum(map(_size_bytes, held))
            self._asks = True
            self._idle.set()
            found = await self._errands.look_at_all([kept.lacking])
            self._idle.clear()
            self._asks = False
            if not found:
                self._give_up("the server does not show a device chain")
                return
            seen |= found

    def _give_up(self, reason: str) -> None:
        """Read the mailbox again over another connection: on this one there are no answers."""
        self.lose()
        if self._errands.link is not None:
            self._errands.link.give_up(protocol_error(reason))


def _size_bytes(frame: Frame) -> int:
    """Measure what a frame holds in memory; up to four times that for a text that is not ASCII."""
    if isinstance(frame, Notice):
        return FRAME_BYTES + len(frame.code)
    text = frame.message if frame.ciphertext is UNSET else frame.ciphertext
    return FRAME_BYTES + (0 if text is UNSET else len(text))
