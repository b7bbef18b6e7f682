"""What the server says unasked about chains and keys: it is looked at, but not as often as told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

PAUSE_S: Final = 1.0
"""Between two rounds of asking: devices are added by people, and a hundred keys last longer. The
first hint is followed at once; what comes meanwhile is put together."""

MAX_CHAINS: Final = 1000
"""People whose chains are said to have grown, in a round: a crowd that nobody writes with. Who is
left out is looked at with the next connection (`ReceiptsReply.chains`)."""


class Hints:
    """Follows hints one round after the other, the last word on each."""

    def __init__(
        self,
        run: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        look_at: Callable[[Mapping[str, int]], Awaitable[None]],
        offer_keys: Callable[[int], Awaitable[None]],
    ) -> None:
        """Take what runs something beside, and what follows either kind of hint."""
        self._run, self._look_at, self._offer_keys = run, look_at, offer_keys
        self._chains: dict[str, int] = {}
        self._keys: int | None = None
        self._task: asyncio.Task[None] | None = None

    def chain(self, name: str, seq: int) -> None:
        """Hear that a device chain ends with this number now."""
        if len(self._chains) < MAX_CHAINS:
            self._chains[name] = seq
        self._go()

    def keys(self, left: int) -> None:
        """Hear that so many one-time keys of this device are left."""
        self._keys = left
        self._go()

    def forget(self) -> None:
        """Forget what has not been followed: the next connection begins with all of it."""
        self._chains, self._keys = {}, None

    def _go(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._run(self._follow())

    async def _follow(self) -> None:
        while self._chains or self._keys is not None:
            chains, left = self._chains, self._keys
            self.forget()
            if left is not None:
                await self._offer_keys(left)
            await self._look_at(chains)
            await asyncio.sleep(PAUSE_S)
