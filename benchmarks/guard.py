"""Fails when the hot path has become clearly slower: `python -m benchmarks.guard`, half a minute.

Our server and the reference relay work in turns, in short rounds, on the machine of this hour. What
is judged is the ratio of the two: it is compared with the one that `benchmarks/guard.json` holds. A
round of ours is set against the round of the relay that follows it, for they share what disturbs
the machine, and of these ratios the median counts. What falls short is measured once more, on fresh
servers, before it counts.

The store lies in memory where the machine allows it: the guard judges the code, and the ratio at a
durable store follows the disk and who else uses it. A commit too many still shows, for it costs
processor time. `--record` measures three times and writes the file anew.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks import side_by_side, targets
from benchmarks.machine import machine
from benchmarks.rounds import Pace
from benchmarks.side_by_side import WINDOW_1, WINDOW_64, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.side_by_side import Rates

SHAPES: Final = (WINDOW_64, WINDOW_1)

PACE: Final = Pace(warm_s=0.2, measure_s=0.5, rounds=8)
"""23 s for both workloads, and both measured twice stay below a minute."""

LOSS: Final = 0.30
"""A ratio so far below the recorded one fails. On two cores that three others used all the time,
ten measurements of one state lay within 15 % of their median."""

RECORDINGS: Final = 3
"""Their median is recorded, so that no disturbed one is."""

RECORD: Final = Path(__file__).with_name("guard.json")
MEMORY_DISK: Final = Path("/dev/shm")
"""A file system in memory, on every Linux (shm_overview(7)). The store takes 10 MB or so of it."""

Ratios = dict[str, float]


@dataclass(frozen=True)
class Verdict:
    """A measured ratio of rates, ours to the relay's, against the recorded one."""

    key: str
    ratio: float
    recorded: float

    @property
    def bound(self) -> float:
        """What the ratio must not be below."""
        return self.recorded * (1 - LOSS)

    @property
    def fails(self) -> bool:
        """Whether the loss is a clear one."""
        return self.ratio < self.bound

    def __str__(self) -> str:
        """Say what was measured, and the bound."""
        text = f"{self.key}: {self.ratio:.3f} of the relay, recorded {self.recorded:.3f}"
        return f"{text}, bound {self.bound:.3f}: {'FAILS' if self.fails else 'good'}"


def ratio_of(rates: Rates) -> float:
    """Give the median of the rounds' ratios, ours to the relay's."""
    return statistics.median(jim / relay for jim, relay in zip(rates.jim, rates.relay, strict=True))


def judge(measured: Mapping[str, float], recorded: Mapping[str, float]) -> list[Verdict]:
    """Judge each measured workload."""
    return [Verdict(key, ratio, recorded[key]) for key, ratio in measured.items()]


def failing(
    measure: Callable[[Sequence[Shape]], Mapping[str, float]], recorded: Mapping[str, float]
) -> list[Verdict]:
    """Measure, and measure once more what fails; give what has failed both times."""
    suspects = _judged(measure(SHAPES), recorded)
    if not suspects:
        return []
    print("once more:", flush=True)
    keys = {verdict.key for verdict in suspects}
    return _judged(measure([shape for shape in SHAPES if shape.key in keys]), recorded)


def _judged(measured: Mapping[str, float], recorded: Mapping[str, float]) -> list[Verdict]:
    """Print all verdicts; give those that fail."""
    verdicts = judge(measured, recorded)
    print("\n".join(map(str, verdicts)), flush=True)
    return [verdict for verdict in verdicts if verdict.fails]


def measured(shapes: Sequence[Shape], pace: Pace = PACE) -> Ratios:
    """Measure workloads on fresh servers; give the ratios.

    Raises:
        SystemExit: a message was refused or a connection lost, so the rates mean nothing.
    """
    ratios: Ratios = {}
    with side_by_side.running(scratch()) as both:
        for shape in shapes:
            rates = uvloop.run(side_by_side.rates(both, shape, pace))
            if rates.errors:
                raise SystemExit(f"{shape.key}: {rates.errors} refusals and lost connections")
            ours, relay = statistics.median(rates.jim), statistics.median(rates.relay)
            print(f"{shape.key}: {ours:,.0f}/s, the relay {relay:,.0f}/s", flush=True)
            ratios[shape.key] = ratio_of(rates)
    return ratios


def scratch() -> Path | None:
    """Give the file system in memory; None, and a warning, where there is none to write to."""
    if os.access(MEMORY_DISK, os.W_OK):
        return MEMORY_DISK
    print(f"no {MEMORY_DISK} to write to: the ratio follows the disk, too", file=sys.stderr)
    return None


def record() -> dict[str, Any]:
    """Measure what the guard is to compare with from now on."""
    found = [measured(SHAPES) for _ in range(RECORDINGS)]
    medians = {key: statistics.median(one[key] for one in found) for key in found[0]}
    ratios = {key: round(ratio, 3) for key, ratio in medians.items()}
    return {"ratios": ratios, "command": "python -m benchmarks.guard --record"} | machine()


def main() -> int:
    """Judge, or record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name} anew")
    options = parser.parse_args()
    targets.raise_descriptor_limit()
    targets.pin(targets.LOAD_CORE)
    if options.record:
        RECORD.write_text(json.dumps(record(), indent=1) + "\n", encoding="utf-8")
        print(RECORD.read_text(encoding="utf-8"), end="")
        return 0
    failed = failing(measured, json.loads(RECORD.read_text(encoding="utf-8"))["ratios"])
    for verdict in failed:
        loss = 1 - verdict.ratio / verdict.recorded
        print(f"{verdict.key}: {loss:.0%} less than recorded, twice", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
