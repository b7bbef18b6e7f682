"""What a commit costs without network and disk: `python -m benchmarks.commits`, a few seconds.

Batches of one shape after the other go through the store's own code, in this thread, into a
database on a file system in memory; with each go the confirmations of the one before. The figure is
processor time a message: lowest tenth and median of the batches, for what disturbs only adds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from benchmarks.guard import scratch
from benchmarks.stocking import stocked
from benchmarks.workloads import BODY_BYTES
from jim.core.model import Batch, Run
from jim.protocol.messages import Msg

if TYPE_CHECKING:
    from benchmarks.stocking import Member, Stock


class Shape(NamedTuple):
    """A batch: so many devices send so many messages each, to so many others."""

    pairs: int
    messages: int
    batches: int
    """Enough of them for a second of work."""


SHAPES: Final = (Shape(3, 1, 2000), Shape(50, 1, 800), Shape(1000, 1, 60), Shape(50, 64, 60))
"""A server with little to do, windows of 1, the crowd, and full windows (docs/performance.md)."""

WARM: Final = 5
"""Batches that are not counted: they load the counters of their devices."""


def costs_us(stock: Stock, shape: Shape, prefix: str) -> list[float]:
    """Give the processor time a message, in µs, of each batch."""
    senders = stock.enlist(f"{prefix}s{index}" for index in range(shape.pairs))
    receivers = stock.enlist(f"{prefix}r{index}" for index in range(shape.pairs))
    acks: dict[int, int] = {}
    found = []
    for number in range(WARM + shape.batches):
        batch = Batch(_runs(senders, receivers, shape.messages, number), acks)
        before = time.thread_time()
        committed = stock.commit(batch)
        used_s = time.thread_time() - before
        acks = {segment.device_id: segment.last for segment in committed.segments}
        found.append(1e6 * used_s / (shape.pairs * shape.messages))
    return found[WARM:]


def _runs(senders: list[Member], receivers: list[Member], messages: int, number: int) -> list[Run]:
    """Make the runs of a batch: each sender goes on with its numbers."""
    first = number * messages + 1
    return [
        Run(
            sender.identity,
            [
                Msg(id=n, n=n, to=receiver.name, message="x" * BODY_BYTES)
                for n in range(first, first + messages)
            ],
        )
        for sender, receiver in zip(senders, receivers, strict=True)
    ]


def main() -> int:
    """Measure all shapes and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commits", description=__doc__)
    parser.parse_args()
    with TemporaryDirectory(dir=scratch()) as data, stocked(Path(data) / "server.db") as stock:
        for index, shape in enumerate(SHAPES):
            found = sorted(costs_us(stock, shape, f"c{index}"))
            low, median = found[len(found) // 10], statistics.median(found)
            print(
                f"{shape.pairs:>5,} devices, {shape.messages:>2} messages each: "
                f"{low:6.2f} µs a message (median {median:.2f})",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
