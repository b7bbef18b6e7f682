"""A token bucket in two numbers: how far ahead of its rate a sender is. Pure, without a clock."""

from __future__ import annotations


class Bucket:
    """Allows `burst` units at once and `per_s` units a second in the long run.

    It never refuses: it says how long the sender should not be read from. So a burst costs its
    sender time and nothing else, and no message has to be answered with an error and sent again.
    """

    __slots__ = ("_burst_s", "_cost_s", "_paid_until_s")

    def __init__(self, burst: float, per_s: float) -> None:
        """Start full. `per_s` of 0 means no limit."""
        self._cost_s = 1.0 / per_s if per_s > 0 else 0.0
        self._burst_s = burst * self._cost_s
        self._paid_until_s = float("-inf")

    def take(self, units: float, now_s: float) -> float:
        """Spend `units` and give the seconds that the sender has to wait now, 0 if none."""
        start = max(now_s, self._paid_until_s)
        self._paid_until_s = start + units * self._cost_s
        wait_s = self._paid_until_s - now_s - self._burst_s
        return max(0.0, wait_s)
