"""Latency of a schedule on a fresh server, as exact percentiles.

Every sample is kept (8 bytes each: 4 MB at 90,000/s for 6 s) and sorted, so a percentile is one of
the samples, and no histogram has to round it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from benchmarks import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.peer import Address

POINTS: Final = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "p999_ms": 99.9, "max_ms": 100}

WARM_S: Final = 1.0
"""First reads and writes of everybody, and the caches of a server that has just started."""


def points(values_ns: Sequence[int]) -> dict[str, float]:
    """Give the percentiles of nanoseconds, in milliseconds.

    Each is the smallest sample that so many percent of all do not exceed (the nearest rank).

    Raises:
        ValueError: there are no samples.
    """
    if not values_ns:
        raise ValueError("there are no samples")
    ordered = sorted(values_ns)
    ranks = {name: math.ceil(len(ordered) * percent / 100) for name, percent in POINTS.items()}
    return {name: ordered[max(rank, 1) - 1] / 1e6 for name, rank in ranks.items()}


async def measure(
    address: Address, pairs: int, per_s: int, measure_s: float, *, relay: bool
) -> dict[str, Any]:
    """Send `per_s` messages a second in total over the pairs, from their due time to the arrival.

    `generator_p99_ms` is how late the generator itself was: a server's figures near to it say
    nothing of the server.
    """
    opened = await load.open_pairs(address, pairs, "late", plain_relay=relay)
    await load.latency(opened, per_s, WARM_S)
    late = await load.latency(opened, per_s, measure_s)
    result = points(late.arrived) | {
        "per_s": per_s,
        "samples": len(late.arrived),
        "generator_p99_ms": points(late.sent)["p99_ms"],
        "errors": opened.errors,
    }
    await opened.aclose()
    return result
