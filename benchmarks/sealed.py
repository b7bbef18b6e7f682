"""What sealed messages cost our server: `python -m benchmarks.sealed`, about a minute and a half.

The generator sends bodies as ciphertexts for the receiver's device, and plain bodies that are just
as long, in turns: to the same server, for the same accounts. So what disturbs one disturbs the
other, and what is judged is the ratio within a round. The server may pass at most a fifth fewer
messages when they are sealed. It looks into neither; sealed ones it has to read device by device.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from benchmarks import generator, own, targets
from benchmarks.accounts import PAIRS
from benchmarks.commits import SEALED_BYTES
from benchmarks.report import short, table
from benchmarks.rounds import QUICK, Pace, say
from benchmarks.workloads import WORKLOADS, Workload, chosen, summed_up

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.peers.base import Place, Running

FLOOR: Final = 0.80
"""Of the plain rate, at least (the issue): not more than 20 % less."""

MEASURED: Final = ("w64", "w1", "crowd")
"""Of the workloads of the comparison: full windows, single messages, and many people."""

PLAIN, SEALED = "plain", "sealed"

QUICK_PAIRS: Final = 50

Found = dict[str, list[dict[str, Any]]]
"""The rounds of a workload, plain and sealed."""


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all rounds at one server; give the figures.

    Raises:
        GeneratorError: the generator cannot be compiled, or the server hung up.
        PeerError: the server does not start.
    """
    pace = QUICK if options.quick else Pace(options.warm, options.seconds, options.rounds)
    pairs = QUICK_PAIRS if options.quick else PAIRS
    wanted = chosen(options.workloads)
    program = generator.compiled()
    with own.directory(options.scratch) as place:
        own.enlist(place, own.pair_names(pairs), sealing=True)
        with own.serving(place) as (server, _):
            targets.pin(targets.LOAD_CORE)
            found = _rounds(_Run(program, place, server, pace, pairs), wanted)
    return {
        "machine": own.machine("sealed", options.scratch),
        "pace": vars(pace),
        "body_bytes": SEALED_BYTES,
        "floor": options.floor,
        "workloads": {key: _figures(rounds) for key, rounds in found.items()},
    }


def _rounds(run: _Run, wanted: Sequence[Workload]) -> dict[str, Found]:
    """Run plain and sealed in turns; every other round begins with the other one."""
    found: dict[str, Found] = {each.key: {PLAIN: [], SEALED: []} for each in wanted}
    for number in range(1, run.pace.rounds + 1):
        for workload in wanted:
            say(f"round {number}: {workload.title} …")
            for kind in (PLAIN, SEALED)[:: 1 if number % 2 else -1]:
                found[workload.key][kind] += run.measured(workload, sealed=kind == SEALED)
    return found


class _Run(NamedTuple):
    """What every workload is measured with."""

    program: Path
    place: Place
    server: Running
    pace: Pace
    pairs: int

    def measured(self, workload: Workload, *, sealed: bool) -> list[dict[str, Any]]:
        """Run the generator once."""
        pairs = {"pairs": min(self.pairs, int(str(workload.values["pairs"])))}
        values = own.flow_values(
            self.place,
            **(dict(workload.values) | pairs),
            body=SEALED_BYTES,
            sealed=int(sealed),
            server_pid=self.server.pid,
            warm=self.pace.warm_s,
            measure=self.pace.measure_s,
        )
        return generator.run(self.program, values, self.pace.run_s(workload))


def _figures(rounds: Found) -> dict[str, Any]:
    """Give both kinds, and the medians of the rounds' ratios, sealed to plain."""
    both = list(zip(rounds[SEALED], rounds[PLAIN], strict=True))
    return {
        PLAIN: summed_up(rounds[PLAIN]) | {"cpu_us": _median_us(rounds[PLAIN])},
        SEALED: summed_up(rounds[SEALED]) | {"cpu_us": _median_us(rounds[SEALED])},
        "ratio": statistics.median(one["rate"] / other["rate"] for one, other in both),
        "cpu_ratio": statistics.median(cpu_us(one) / cpu_us(other) for one, other in both),
    }


def cpu_us(found: Mapping[str, Any]) -> float:
    """Give the server's processor time a message of a round, in µs."""
    return float(1e6 * found["server_share"] * found["seconds"] / found["arrived"])


def _median_us(rounds: Sequence[Mapping[str, Any]]) -> float:
    return statistics.median(map(cpu_us, rounds))


def text_of(figures: Mapping[str, Any]) -> str:
    """Give everything for people."""
    titles = {workload.key: workload.title for workload in WORKLOADS}
    head = [f"bodies of {figures['body_bytes']} bytes", "plain/s", "sealed/s", "ratio"]
    head += ["server's µs, plain", "sealed", "ratio", "generator's core"]
    rows = [_row(titles[key], found) for key, found in figures["workloads"].items()]
    return "\n\n".join([table(head, rows), *complaints(figures)])


def _row(title: str, found: Mapping[str, Any]) -> list[str]:
    plain, sealed = found[PLAIN], found[SEALED]
    return [
        title,
        short(plain["rate"]["median"]),
        short(sealed["rate"]["median"]),
        f"{found['ratio']:.2f}",
        f"{plain['cpu_us']:.1f}",
        f"{sealed['cpu_us']:.1f}",
        f"{found['cpu_ratio']:.2f}",
        f"{max(plain['share'], sealed['share']):.0%}",
    ]


def complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say what lost or misplaced messages, and where sealed ones are too slow."""
    workloads, floor = figures["workloads"], figures["floor"]
    found = [
        f"{key}, {kind}: messages were lost, damaged or misdirected"
        for key, workload in workloads.items()
        for kind in (PLAIN, SEALED)
        if workload[kind]["lost"] or workload[kind]["wrong"]
    ]
    return found + [
        f"{key}: sealed messages make {workload['ratio']:.2f} of plain ones, less than {floor:.2f}"
        for key, workload in workloads.items()
        if workload["ratio"] < floor
    ]


def main() -> int:
    """Measure and print; fail where sealed messages are too slow, or something got lost."""
    parser = own.parser("sealed", __doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="a round of a workload")
    parser.add_argument("--warm", type=float, default=0.5, help="before each round, seconds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--floor", type=float, default=FLOOR, help="the least ratio (%(default)s)")
    parser.add_argument("--workloads", default=",".join(MEASURED), help="default %(default)s")
    options = parser.parse_args()
    targets.raise_descriptor_limit()
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
