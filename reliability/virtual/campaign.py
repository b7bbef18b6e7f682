"""Many seeds on some cores: run them, add up, and make a failing one small enough to read."""

from __future__ import annotations

import contextlib
import functools
import gc
import multiprocessing
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from reliability.virtual.edges import replaced
from reliability.virtual.play import play, play_seed, the_cast
from reliability.virtual.scenario import draw
from reliability.virtual.world import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reliability.virtual.scenario import Scenario

CHUNK: Final = 16
"""Seeds handed to a process at once: half a second, so that all end at the same time."""

COLLECT_EVERY: Final = 20
"""Runs between collections of garbage: what a run leaves are some thousand objects in cycles."""

SHRINK_S: Final = 60.0
"""Real seconds for making a failure smaller; then the smallest so far has to do."""


class Totals(Struct):
    """What a campaign has done so far."""

    runs: int = 0
    acked: int = 0
    displayed: int = 0
    failed: int = 0
    virtual_s: float = 0.0
    notes: int = 0
    slowest_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[Result] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count a run."""
        self.runs += 1
        self.acked += result.counts.acked
        self.displayed += result.counts.displayed
        self.failed += result.counts.failed
        self.virtual_s += result.virtual_s
        self.notes += result.notes
        self.slowest_s = max(self.slowest_s, result.settled_s)
        self.faults.update(result.counts.faults)
        if result.violations:
            self.broken.append(result)


def run_seeds(seeds: range, jobs: int) -> Iterator[Result]:
    """Run all seeds and give their results as they come."""
    if jobs <= 1:
        with replaced():
            the_cast()
            for seed in seeds:
                yield play_seed(seed)
        return
    # Forked, so that a child has everything loaded; nothing runs in threads here. It has the cast
    # too, whose files this process removes at its end: a child is not given the time for it.
    with replaced():
        the_cast()
    context = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    with context.Pool(jobs) as pool:
        yield from pool.imap_unordered(_run_in_child, seeds, CHUNK)


@functools.cache
def _settle_in() -> contextlib.ExitStack:
    """Begin the life of a child: replace the machine for good, and make the cast.

    What stays is kept from the collector; what runs leave is collected now and then.
    """
    stack = contextlib.ExitStack()
    stack.enter_context(replaced())
    the_cast()
    gc.collect()
    gc.freeze()
    gc.disable()
    return stack


def _run_in_child(seed: int) -> Result:
    _settle_in()
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    return play_seed(seed)


def shrink(
    scenario: Scenario, still_fails: Callable[[Scenario], bool], limit_s: float = SHRINK_S
) -> Scenario:
    """Leave actions out, last ones first, as long as what is left still fails."""
    ends_s = time.monotonic() + limit_s
    index = len(scenario.actions) - 1
    while index >= 0 and time.monotonic() < ends_s:
        smaller = scenario.without(index)
        if still_fails(smaller):
            scenario = smaller
        index -= 1
    return scenario


def explain(seed: int, rule: str, tail_lines: int) -> str:
    """Word a failure: what was broken, the smallest scenario that does it, and how it ended."""
    with replaced():
        small = shrink(draw(seed), lambda scenario: _breaks(scenario, rule))
        result = play(small, tail_lines)
    lines = [f"seed {seed}, shrunk to {len(small.actions)} actions; it breaks:"]
    lines += [f"  {violation}" for violation in result.violations]
    lines += [f"conditions: {small.conditions}", "actions:"]
    lines += [f"  {action}" for action in small.actions]
    return "\n".join([*lines, "the end of the trace:", *(f"  {line}" for line in result.tail)])


def _breaks(scenario: Scenario, rule: str) -> bool:
    return any(violation.rule == rule for violation in play(scenario).violations)
