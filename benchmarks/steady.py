"""Measures the tail of the latency under a steady load: `python -m benchmarks.steady`.

For ten minutes messages are sent on one schedule; receivers confirm everything, so all the time the
server moves its log into the database and trims what was confirmed. Latency is counted over the
whole run and minute by minute, and the sizes of files and memory have to stay bounded. The method:
docs/performance.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks import flow, generator, own, targets
from benchmarks.generator import GeneratorError
from benchmarks.minutes import LEGEND, lines_of, minutes_table, misplaced, progress
from benchmarks.rounds import say
from benchmarks.watch import SIZES, between, bounded, growth, watched

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from benchmarks.flow import Interval, Plan
    from benchmarks.watch import Sample

PAIRS, RATE_PER_S, SECONDS = 50, 2000, 600.0
"""The schedule of docs/performance.md, for ten minutes: of 1.2 M messages p99.99 is one of the
slowest 120, and the log is moved into the database more than a hundred times."""

QUICK_S: Final = 20.0
"""Long enough for the log to be moved into the database once or twice."""

WARM_S: Final = 2.0
"""Before anything counts: code and caches have been used once."""

FILES: Final = ("database", "log")
"""What has to be bounded. Memory is reported beside it, for the allocator gives back late."""


def figures_of(
    intervals: Sequence[Interval], samples: Sequence[Sample], cut: Plan
) -> dict[str, Any]:
    """Give the whole run and its parts, and judge whether the files are bounded.

    Raises:
        GeneratorError: the run was too short to see anything of the server.
    """
    whole = flow.joined(intervals)
    during = between(samples, whole.from_s, whole.to_s)
    if not during:
        raise GeneratorError("the run was too short to look at the server")
    sizes = {name: growth(during, cut.part_s, size) for name, size in SIZES.items()}
    return {
        **lines_of(intervals, during),
        "sizes_bytes": sizes,
        "bounded": {name: bounded(sizes[name]) for name in FILES},
        "seen": [
            {"s": round(each.at_s - whole.from_s, 2), "cpu_s": each.cpu_s}
            | {f"{name}_bytes": size(each) for name, size in SIZES.items()}
            for each in during
        ],
    }


def complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say what went wrong: messages lost or misplaced, files that grow."""
    grown = [f"{name} grows" for name, good in figures["bounded"].items() if not good]
    return [*misplaced(figures), *grown]


def text_of(figures: Mapping[str, Any]) -> str:
    """Give everything for people."""
    sizes = [_growth(name, size) for name, size in figures["sizes_bytes"].items()]
    return "\n\n".join([minutes_table(figures), LEGEND, "\n".join([*sizes, *complaints(figures)])])


def _growth(name: str, size: Mapping[str, float]) -> str:
    first, last, most = (size[key] / 2**20 for key in ("first", "last", "most"))
    return f"{name}: {first:.1f} MiB in the first part, {last:.1f} in the last, {most:.1f} at most"


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Run the load against a fresh server; give the figures.

    Raises:
        GeneratorError: the load failed, for instance because the server closed a connection.
        PeerError: the server does not start.
    """
    cut = flow.plan(options.seconds)
    with own.directory(options.scratch) as place:
        program = generator.compiled()
        own.enlist(place, own.pair_names(options.pairs))
        values = own.flow_values(place, pairs=options.pairs, rate=options.rate, warm=WARM_S)
        with own.serving(place) as (server, _), watched(server, own.database(place)) as samples:
            targets.pin(targets.LOAD_CORE)
            intervals = flow.run(
                program, values, cut, on_interval=lambda part: say(progress(part, samples, cut))
            )
    return {
        "machine": own.machine("steady", options.scratch),
        "load": {"pairs": options.pairs, "rate_per_s": options.rate, "part_s": cut.part_s},
        **figures_of(intervals, samples, cut),
    }


def main() -> int:
    """Measure and print; fail when a message was lost or misplaced, or a file grew."""
    parser = own.parser("steady", __doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="default %(default)s")
    parser.add_argument("--rate", type=int, default=RATE_PER_S, help="messages/s, of all pairs")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="default %(default)s")
    options = parser.parse_args()
    if options.quick:
        options.seconds = min(options.seconds, QUICK_S)
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
