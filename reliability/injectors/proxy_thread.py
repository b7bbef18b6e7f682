"""The proxy for a harness that has no event loop: it runs in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import random
import threading
from typing import TYPE_CHECKING, Final, Self, TypeVar

from reliability.injectors.proxy import Proxy
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ANSWER_S: Final = 10.0
"""For anything that is asked of the thread: it takes microseconds where the machine is idle."""


class ProxyThread:
    """Use as a context: it listens inside, and every connection is reset at the end."""

    def __init__(self, target: tuple[str, int], seed: int) -> None:
        """Take where to connect to, and the seed of what the proxy leaves to chance."""
        self._proxy: Proxy | None = None
        self._target = target
        self._chance = random.Random(seed)
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(ANSWER_S):
            raise NotTaken("the proxy did not begin to listen")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(ANSWER_S)

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to."""
        return "127.0.0.1", self.do(lambda proxy: proxy.port)

    def do(self, function: Callable[[Proxy], T]) -> T:
        """Run a function of the proxy in its thread; give or raise what it does."""

        async def call() -> T:
            assert self._proxy is not None
            return function(self._proxy)

        assert self._loop is not None, "the proxy does not run"
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(ANSWER_S)

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._proxy = Proxy(self._target, self._chance)
        await self._proxy.open()
        self._ready.set()
        await self._over.wait()
        await self._proxy.aclose()
