"""`make bench`: our server beside the reference relay in one run, in about two and a half minutes.

A rate is the median of rounds that alternate between the two, with its range. Latency and memory
are measured on a fresh server each. The servers have core 0, the generator core 1. What it used of
that core is printed: above 90 % it would be the bottleneck. While it keeps a schedule it never
sleeps; there its own lateness stands beside the server's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks import idle, lateness, side_by_side, targets
from benchmarks.machine import machine
from benchmarks.rounds import Pace
from benchmarks.side_by_side import WINDOW_1, WINDOW_64, Shape
from benchmarks.workloads import summary

if TYPE_CHECKING:
    from collections.abc import Mapping

PAIRS, CROWD, RATE_PER_S = 50, 1000, 2000
"""The method of docs/performance.md: 50 pairs; a crowd of 1,000 with window 4; 2,000 a second."""

WARM_S: Final = 0.5
"""Until a workload's full windows go round evenly."""

FIXED, HALF = "latency", "latency at half"
"""The two schedules: the same on every machine, and half of what this one has just done."""

COLUMNS: Final = {
    "messages/s": 10,
    "JIM, durable, TLS": 40,
    "bare relay, TLS": 28,
    "ratio": 8,
    "load": 7,
    "our µs": 9,
}
"""Of the rates, and how wide; the last two are the generator's share of its core, and processor
time of our server a message."""

Figures = dict[str, dict[str, Any]]


class Progress:
    """Tells whoever waits what is going on, and since when."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._begun = 0
        self._since_s = time.monotonic()

    def step(self, title: str) -> None:
        """Announce the next step."""
        self._begun += 1
        after_s = time.monotonic() - self._since_s
        text = f"[{self._begun}/{self._steps}] after {after_s:3.0f} s: {title} …"
        print(text, file=sys.stderr, flush=True)


def rates(options: argparse.Namespace, progress: Progress) -> tuple[Figures, Figures]:
    """Measure the full windows of both; give the figures of ours and of the relay."""
    ours: Figures = {}
    reference: Figures = {}
    pace = Pace(WARM_S, options.seconds, options.rounds)
    with side_by_side.running(options.scratch) as both:
        for shape in shapes(options):
            progress.step(f"{shape.pairs:,} pairs, window {shape.window}")
            found = uvloop.run(side_by_side.rates(both, shape, pace))
            common = {"load_share": found.load_share, "errors": found.errors}
            ours[shape.key] = summary(found.jim) | {"cpu_us": summary(found.cpu_us)} | common
            reference[shape.key] = summary(found.relay) | common
    return ours, reference


def shapes(options: argparse.Namespace) -> list[Shape]:
    """Give the throughput workloads."""
    return [WINDOW_64, WINDOW_1, Shape("crowd", options.crowd, 4)]


def latency(
    options: argparse.Namespace, per_s: int, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure a schedule at a fresh server of ours and at a fresh relay."""
    found = []
    for title, target, relay in (
        ("our server", targets.our_server(options.scratch), False),
        ("the relay", targets.reference_relay(), True),
    ):
        progress.step(f"{per_s:,}/s at {title}, fresh")
        with target as (address, _):
            measuring = lateness.measure(address, PAIRS, per_s, options.late_seconds, relay=relay)
            found.append(uvloop.run(measuring))
    return found[0], found[1]


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything; give the figures as they stand in the JSON file."""
    progress = Progress(steps=8)
    ours, reference = rates(options, progress)
    half_per_s = int(ours[WINDOW_64.key]["median"]) // 2
    for key, per_s in ((FIXED, options.rate), (HALF, half_per_s)):
        ours[key], reference[key] = latency(options, per_s, progress)
    progress.step(f"{options.idle:,} idle connections at our server, fresh")
    with TemporaryDirectory(dir=options.scratch) as data:
        ours["idle"] = asdict(uvloop.run(idle.on_a_fresh_server(Path(data), options.idle)))
    return {"machine": machine(), "jim": ours, "relay": reference}


def table(figures: Mapping[str, Any]) -> str:
    """Give the figures for people."""
    ours, reference = figures["jim"], figures["relay"]
    lines = ["".join(f"{title:>{width}}" for title, width in COLUMNS.items())]
    for key in (WINDOW_64.key, WINDOW_1.key, "crowd"):
        mine, other = ours[key], reference[key]
        ratio, share = mine["median"] / other["median"], mine["load_share"]
        cpu_us = mine["cpu_us"]["median"]
        lines.append(
            f"{key:22}{_rate(mine):>28}{_rate(other):>28}{ratio:>8.2f}{share:>7.0%}{cpu_us:>9.1f}"
        )
    names = (name.removesuffix("_ms").replace("999", "99.9") for name in lateness.POINTS)
    head = "".join(f"{name:>10}" for name in names)
    lines.append(f"\n{'ms, fresh server':22}{head}   generator's p99")
    for key in (FIXED, HALF):
        for title, found in (("JIM", ours[key]), ("relay", reference[key])):
            cells = "".join(f"{found[point]:>10.2f}" for point in lateness.POINTS)
            label = f"{title}, {found['per_s']:,}/s"
            lines.append(f"{label:22}{cells}{found['generator_p99_ms']:>18.2f}")
    rest = ours["idle"]
    lines.append(
        f"\nan idle TLS connection takes {rest['kib_per_connection']:.1f} KiB"
        f" ({rest['connections']:,} connections, fresh server)\n"
        f"logins {rest['logins_per_s']:.0f}/s, {rest['login_cpu_ms']:.2f} ms of server CPU each"
    )
    return "\n".join(lines)


def _rate(found: Mapping[str, float]) -> str:
    return f"{found['median']:,.0f} ({found['low']:,.0f}-{found['high']:,.0f})"


def errors(figures: Mapping[str, Any]) -> int:
    """Count refusals and lost connections, of both: any of them makes the figures worthless."""
    found = [*figures["jim"].values(), *figures["relay"].values()]
    return sum(workload.get("errors", 0) for workload in found)


def parsed() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="a round of a workload")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=RATE_PER_S, help="of the latency, messages/s")
    parser.add_argument("--late-seconds", type=float, default=6.0, help="a schedule")
    parser.add_argument("--crowd", type=int, default=CROWD, help="pairs of the crowd")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections that count")
    parser.add_argument("--scratch", type=Path, help="where the server keeps its data: a real disk")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


def main() -> int:
    """Measure and print; fail when a message was refused or a connection lost."""
    options = parsed()
    targets.raise_descriptor_limit()
    targets.pin(targets.LOAD_CORE)
    figures = measured(options)
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if errors(figures) else 0


if __name__ == "__main__":
    raise SystemExit(main())
