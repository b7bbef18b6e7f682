"""Measure what `@log_calls` adds to a call: `python -m benchmarks.log_calls`.

The figures stand in the docstring of `jim.decorators.log_calls`.
"""

from __future__ import annotations

import logging
import statistics
import time
from typing import TYPE_CHECKING

from jim.decorators import log_calls
from jim.log_config.queueing import DroppingQueueHandler

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 7
CALLS_DISABLED = 500_000
CALLS_ENABLED = 20_000


def main() -> None:
    """Print the cost in ns a call, with DEBUG off and on."""
    logging.getLogger(__name__).setLevel(logging.INFO)
    plain_ns = _ns_per_call(_target, CALLS_DISABLED)
    disabled_ns = _ns_per_call(_logged_target, CALLS_DISABLED) - plain_ns
    logging.getLogger(__name__).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(DroppingQueueHandler(capacity=2 * RUNS * CALLS_ENABLED))
    enabled_ns = _ns_per_call(_logged_target, CALLS_ENABLED) - plain_ns
    print(f"plain call {plain_ns:.0f} ns; log_calls adds {disabled_ns:.0f} ns with DEBUG off,")
    print(f"{enabled_ns:.0f} ns with DEBUG on (queued for the writer's thread)")


def _target(first: str, second: int) -> str:
    return first if second else ""


_logged_target = log_calls(_target)


def _ns_per_call(function: Callable[[str, int], str], calls: int) -> float:
    times = []
    for _run in range(RUNS):
        begin = time.perf_counter_ns()
        for _call in range(calls):
            function("alice", 1)
        times.append((time.perf_counter_ns() - begin) / calls)
    return statistics.median(times)


if __name__ == "__main__":
    main()
