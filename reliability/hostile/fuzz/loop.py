"""An event loop for a fuzzer: its clock is a number, it never sleeps, and it runs turn by turn."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class _Selector(selectors.DefaultSelector):
    """Finds nothing and does not wait: there are no sockets but the loop's own."""

    def select(self, timeout: float | None = None) -> list[Any]:
        del timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs what is due when it is told to. Whatever it could not deliver is in `faults`."""

    def __init__(self) -> None:
        """Start at the time 0."""
        self._now_s = 0.0
        self._turns = 0
        super().__init__(_Selector())
        self.faults: list[str] = []
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Give the seconds that `advance` has passed."""
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what has become due."""
        self._now_s += seconds
        self.turn()

    def turn(self, count: int = 1) -> None:
        """Run what is ready now, and with a greater `count` what that has made ready."""
        self._turns = count
        self.call_soon(self._count)
        self.run_forever()

    def _count(self) -> None:
        """End `turn` with the last of its turns, or when nothing is ready any more."""
        self._turns -= 1
        ready: Any = self._ready  # type: ignore[attr-defined] # asyncio's own, there since 3.4
        if self._turns > 0 and ready:
            self.call_soon(self._count)
        else:
            self.stop()

    def finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine that needs only turns, no time.

        Raises:
            TimeoutError: it waits for something else.
        """
        task = self.create_task(coroutine)
        for _ in range(100):
            if task.done():
                return task.result()
            self.turn()
        raise TimeoutError

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.faults.append(f"{context['message']}: {error!r}")
