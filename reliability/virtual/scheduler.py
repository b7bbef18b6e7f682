"""Virtual time: what happens next, and which of the processes that could go on does.

There is one clock for the whole world, and it only moves when nobody has anything left to do. Every
process has an event loop of its own (`reliability.virtual.loop`); which of several ready ones takes
the next turn is drawn by the seed, as the scheduler of a real machine might have it. Within a loop
the order is the one that asyncio guarantees.
"""

from __future__ import annotations

import heapq
import itertools
from asyncio import events
from typing import TYPE_CHECKING, Any

from reliability.virtual.trace import Kind

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from reliability.virtual.loop import VirtualLoop
    from reliability.virtual.trace import Trace


class Stuck(RuntimeError):
    """Nothing can ever happen any more, or far too much happens without time passing."""


class Scheduler:
    """The clock, what is due, and the loops."""

    def __init__(self, chance: random.Random, trace: Trace) -> None:
        """Start at zero with nothing to do."""
        self.now_s = 0.0
        self.chance = chance
        self.trace = trace
        self.steps = 0
        self.runnable: list[VirtualLoop] = []
        """Who has something to do now, in no order that matters; see `VirtualLoop.wake`."""
        self._due: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, when_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Call at a time; of two at the same time the first that was asked for comes first."""
        heapq.heappush(self._due, (when_s, next(self._order), callback, args))

    def after(self, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Call after a delay."""
        heapq.heappush(self._due, (self.now_s + delay_s, next(self._order), callback, args))

    def run_until(self, is_over: Callable[[], bool], limit_s: float, max_steps: int) -> bool:
        """Let things happen until it is over; False if `limit_s` came first.

        Raises:
            Stuck: nothing is left to wait for, or `max_steps` were not enough.
        """
        last = self.steps + max_steps
        try:
            while not is_over():
                if self.now_s >= limit_s:
                    return False
                if self.steps >= last:
                    raise Stuck(f"{max_steps} steps, and it is only {self.now_s:.3f} s")
                self.step()
        finally:
            events._set_running_loop(None)  # noqa: SLF001 - each turn has only set its own
        return True

    def step(self) -> None:
        """Let one ready loop take its turn, or go on to the next time at which something is due.

        Raises:
            Stuck: there is no such time.
        """
        self.steps += 1
        if self.runnable:
            self._give_turn()
            return
        due = self._due
        if not due:
            raise Stuck("nothing will ever happen")
        now_s = self.now_s = max(self.now_s, due[0][0])
        while due and due[0][0] <= now_s:
            _, _, callback, args = heapq.heappop(due)
            callback(*args)

    def _give_turn(self) -> None:
        runnable = self.runnable
        place = int(self.chance.random() * len(runnable)) if len(runnable) > 1 else 0
        loop = runnable[place]
        self.trace.note(self.now_s, Kind.TURN, loop.number)
        if loop.turn():
            return
        loop.is_runnable = False  # others may have been added behind it meanwhile, none removed
        last = runnable.pop()
        if last is not loop:
            runnable[place] = last
