"""How late messages were, as counts of values: percentiles without keeping the messages.

The generator counts in a log-linear histogram, laid out as HdrHistogram does it
(`generator/hist.c`): values are exact below 2,048 ns, and above that known to a thousandth, each by
the greatest value of its slot, so a percentile is never told too small. There are 57,000 slots at
most however long a run is, and a few hundred in use: memory does not grow.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

POINTS: Final = {
    "p50_ms": 5_000,
    "p90_ms": 9_000,
    "p99_ms": 9_900,
    "p999_ms": 9_990,
    "p9999_ms": 9_999,
}
"""The percentiles that are told, in hundredths of a percent: with whole numbers a rank is exact."""

WHOLE: Final = 10_000
"""All of them, in hundredths of a percent."""


class Histogram:
    """Counts of lateness in ns; several are added up by feeding them to one."""

    def __init__(self, counts: Iterable[tuple[int, int]] = ()) -> None:
        """Begin with pairs of a value in ns and how often it was there."""
        self._counts: Counter[int] = Counter()
        self.add(counts)

    def add(self, counts: Iterable[tuple[int, int]]) -> None:
        """Count further values: pairs as at the beginning."""
        for value_ns, count in counts:
            self._counts[value_ns] += count

    def counts(self) -> list[tuple[int, int]]:
        """Give all values in ns with their counts, in order."""
        return sorted(self._counts.items())

    @property
    def samples(self) -> int:
        """How many messages were counted."""
        return self._counts.total()

    def at_ms(self, point: int) -> float:
        """Give the value that `point` hundredths of a percent do not exceed (nearest rank), in ms.

        Raises:
            ValueError: nothing was counted; there is no percentile of nothing.
        """
        rank = max(1, -(-self.samples * point // WHOLE))
        for value_ns, count in self.counts():
            rank -= count
            if rank <= 0:
                return value_ns / 1e6
        raise ValueError("no message was counted")

    def figures(self) -> dict[str, float]:
        """Give the percentiles and the greatest value in ms, and the number of samples.

        Where nothing was counted there is only that number.
        """
        found: dict[str, float] = {"samples": self.samples}
        if self.samples:
            found |= {name: self.at_ms(point) for name, point in POINTS.items()}
            found["max_ms"] = self.at_ms(WHOLE)
        return found


def merged(parts: Iterable[Histogram]) -> Histogram:
    """Add several up."""
    whole = Histogram()
    for part in parts:
        whole.add(part.counts())
    return whole
