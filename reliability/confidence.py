"""What a number of runs without a failure says, and what it does not say."""

from __future__ import annotations

import math
from typing import Final

LEVEL: Final = 0.95
"""The usual one; "never" cannot be had by testing."""


def upper_bound(runs: int, failures: int = 0) -> float:
    """Give the rate of failures that is not exceeded with 95 % confidence (Clopper and Pearson).

    Without failures it is close to 3 / runs. `runs` must be positive.
    """
    if failures >= runs:
        return 1.0
    low, high = failures / runs, 1.0
    for _ in range(60):  # halves the interval to below the precision of a float
        rate = (low + high) / 2
        if _at_most(failures, runs, rate) > 1 - LEVEL:
            low = rate
        else:
            high = rate
    return high


def _at_most(failures: int, runs: int, rate: float) -> float:
    """Give the chance of so many failures or fewer (the binomial distribution)."""
    total = 0.0
    for count in range(failures + 1):
        logarithm = (
            math.lgamma(runs + 1)
            - math.lgamma(count + 1)
            - math.lgamma(runs - count + 1)
            + count * math.log(rate)
            + (runs - count) * math.log1p(-rate)
        )
        total += math.exp(logarithm)
    return total


def worded(runs: int, failures: int = 0) -> str:
    """Say it in one phrase."""
    if not runs:
        return "nothing was run"
    return f"{failures} of {runs:,}: below {upper_bound(runs, failures):.2g} with 95 % confidence"
