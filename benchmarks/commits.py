"""What a commit costs without network and disk: `python -m benchmarks.commits`, half a minute.

Batches of one shape after the other go through the store's own code, in this thread, into a
database on a file system in memory; with each go the confirmations of the one before. The figure is
processor time a message: lowest tenth and median of the batches, for what disturbs only adds.

Sealed messages stand beside plain ones whose bodies are as long as a ciphertext, to the same
devices, batch by batch in turn: their ratio is the median of the batches' ratios.
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
    from collections.abc import Iterator, Sequence

    from benchmarks.stocking import Member, Stock


class Shape(NamedTuple):
    """A batch: so many devices send so many messages each, to so many others."""

    pairs: int
    messages: int
    batches: int
    """Enough of them for a second of work."""
    devices: int = 1
    """Of each addressee."""
    body_bytes: int = BODY_BYTES


SHAPES: Final = (Shape(3, 1, 2000), Shape(50, 1, 800), Shape(1000, 1, 60), Shape(50, 64, 60))
"""A server with little to do, windows of 1, the crowd, and full windows (docs/performance.md)."""

SEALED_BYTES: Final = 770
"""A ciphertext of a line of chat, in a talk that is under way (`benchmarks.sealing`)."""

SEALED_SHAPES: Final = (
    Shape(3, 1, 1500, 1, SEALED_BYTES),
    Shape(50, 1, 400, 1, SEALED_BYTES),
    Shape(1000, 1, 30, 1, SEALED_BYTES),
    Shape(50, 64, 30, 1, SEALED_BYTES),
    Shape(50, 1, 200, 3, SEALED_BYTES),
    Shape(50, 64, 15, 3, SEALED_BYTES),
)
"""The same to somebody with one device; and two of them to somebody with three."""

WARM: Final = 5
"""Batches that are not counted: they load the counters of their devices."""


def costs_us(stock: Stock, shape: Shape, prefix: str) -> list[float]:
    """Give the processor time a message, in µs, of each batch."""
    return list(_costs_us(stock, shape, prefix, sealed=False))


def ratios(stock: Stock, shape: Shape, prefix: str) -> list[tuple[float, float]]:
    """Give the same of sealed messages and of plain ones as long, each batch beside the other."""
    sealed = _costs_us(stock, shape, f"{prefix}x", sealed=True)
    plain = _costs_us(stock, shape, f"{prefix}p", sealed=False)
    return list(zip(sealed, plain, strict=True))


def _costs_us(stock: Stock, shape: Shape, prefix: str, *, sealed: bool) -> Iterator[float]:
    senders = stock.enlist_sealing(f"{prefix}s{index}" for index in range(shape.pairs))
    receivers = stock.enlist_sealing(
        (f"{prefix}r{index}" for index in range(shape.pairs)), shape.devices
    )
    acks: dict[int, int] = {}
    for number in range(WARM + shape.batches):
        batch = Batch(_runs(senders, receivers, shape, number, sealed=sealed), acks)
        before = time.thread_time()
        committed = stock.commit(batch)
        used_s = time.thread_time() - before
        acks = {segment.device_id: segment.last for segment in committed.segments}
        if number >= WARM:
            yield 1e6 * used_s / (shape.pairs * shape.messages)


def _runs(
    senders: list[Member], receivers: list[Member], shape: Shape, number: int, *, sealed: bool
) -> list[Run]:
    """Make the runs of a batch: each sender goes on with its numbers."""
    first = number * shape.messages + 1
    return [
        Run(
            sender.identity,
            [
                _message(n, receiver, shape.body_bytes, sealed=sealed)
                for n in range(first, first + shape.messages)
            ],
        )
        for sender, receiver in zip(senders, receivers, strict=True)
    ]


def _message(n: int, to: Member, size: int, *, sealed: bool) -> Msg:
    if not sealed:
        return Msg(id=n, n=n, to=to.name, message="x" * size)
    return Msg(id=n, n=n, to=to.name, ciphertexts=dict.fromkeys(to.devices, "x" * size))


def main() -> int:
    """Measure all shapes and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commits", description=__doc__)
    parser.parse_args()
    with TemporaryDirectory(dir=scratch()) as data, stocked(Path(data) / "server.db") as stock:
        for index, shape in enumerate(SHAPES):
            found = costs_us(stock, shape, f"c{index}")
            print(f"{_title(shape)}: {_summary(found)}", flush=True)
        for index, shape in enumerate(SEALED_SHAPES):
            sealed, plain = zip(*ratios(stock, shape, f"d{index}"), strict=True)
            ratio = statistics.median(one / two for one, two in zip(sealed, plain, strict=True))
            print(
                f"{_title(shape)}, to {shape.devices}: sealed {_summary(sealed)}, "
                f"plain {_summary(plain)}, ratio {ratio:.2f}",
                flush=True,
            )
    return 0


def _title(shape: Shape) -> str:
    return f"{shape.pairs:>5,} devices, {shape.messages:>2} messages each"


def _summary(costs: Sequence[float]) -> str:
    low = sorted(costs)[len(costs) // 10]
    return f"{low:6.2f} µs a message (median {statistics.median(costs):.2f})"


if __name__ == "__main__":
    raise SystemExit(main())
