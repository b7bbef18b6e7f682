"""Measures many connections held while messages flow: `python -m benchmarks.held`.

15,000 devices log in, all over TLS, and stay; between some of them 5,000 messages/s flow on one
schedule. Reported are logins/s as they come, memory a connection, the latency from when a message
was due, what the server took, and whether every connection was there to the end. The method:
docs/performance.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import flow, generator, own, targets
from benchmarks.minutes import LEGEND, lines_of, minutes_table, misplaced, progress
from benchmarks.report import table
from benchmarks.rounds import say
from benchmarks.watch import sockets, watched

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from benchmarks.flow import Held, Interval
    from benchmarks.peers.base import Running

CONNECTIONS, RATE_PER_S, PAIRS, SECONDS = 15_000, 5_000, 500, 60.0
"""From the targets of the whole server. 500 pairs: ten messages a second each, so that the messages
are spread over many connections, as they would be."""

QUICK: Final = {"connections": 2_000, "rate": 1_000, "pairs": 100, "seconds": 8.0}
"""Small enough for a few seconds on a busy machine."""

WARM_S: Final = 2.0
"""Before anything counts: code and caches have been used once."""

SPARE_DESCRIPTORS: Final = 200
"""Beside the connections: files, pipes and sockets that wait. The server has about 30, the load 10;
and connections that have just ended may still be there."""

PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class Step:
    """Where the server stands after some further logins.

    Attributes:
        connections: held until now, without the pairs.
        seconds: that the logins since the last step took.
        cpu_s: processor time of the server since its start.
    """

    connections: int
    seconds: float
    rss_bytes: int
    cpu_s: float


@dataclass
class Seen:
    """What was seen of the server while connections came and messages flowed.

    Attributes:
        others: sockets that the server has open without any connection.
        connections: that the server had at the end of each interval.
    """

    server: Running
    others: int
    steps: list[Step] = field(default_factory=list)
    connections: list[int] = field(default_factory=list)

    def enter(self, held: Held) -> None:
        """Note what the connections take that have just come."""
        step = Step(
            held.connections,
            held.seconds,
            1024 * targets.rss_kib(self.server.pid),
            targets.cpu_s(self.server.pid),
        )
        self.steps.append(step)
        say(f"{step.connections:,} held, {step.rss_bytes / 2**20:.0f} MiB")

    def count(self) -> None:
        """Count the connections at the server."""
        self.connections.append(sockets(self.server.pid) - self.others)


def shortage(connections: int, descriptors: int, ports: str) -> str | None:
    """Say what the machine has too little of for so many connections; None when there is enough.

    Args:
        connections: all of them, from one address to one address and port.
        descriptors: that a process may open.
        ports: the first and the last that the system chooses from, as PORT_RANGE has them.
    """
    if connections + SPARE_DESCRIPTORS > descriptors:
        return f"{connections} connections: a process may open {descriptors} files (ulimit -Hn)"
    first, last = map(int, ports.split())
    if connections > last - first + 1:
        return f"{connections} connections: there are ports for {last - first + 1} ({PORT_RANGE})"
    return None


def logins_of(steps: Sequence[Step]) -> dict[str, Any]:
    """Give logins/s over all and step by step, memory and processor time of one.

    Memory and processor time count from the end of the first step: what a server allocates once is
    there by then. With a single step there is neither.
    """
    ends = [step.connections for step in steps]
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    found: dict[str, Any] = {
        "per_s": ends[-1] / sum(step.seconds for step in steps),
        "steps": [
            {"connections": step.connections, "per_s": count / step.seconds}
            for step, count in zip(steps, counts, strict=True)
        ],
    }
    first, last = steps[0], steps[-1]
    more = last.connections - first.connections
    if more:
        found["kib_per_connection"] = (last.rss_bytes - first.rss_bytes) / more / 2**10
        found["cpu_ms"] = 1000 * (last.cpu_s - first.cpu_s) / more
    return found


def complaints(figures: Mapping[str, Any]) -> list[str]:
    """Say what went wrong: messages lost or misplaced, connections that are not there."""
    found = misplaced(figures)
    wanted, least = figures["connections"], figures["least_connections"]
    if least < wanted:
        found.append(f"{wanted - least} of {wanted} connections were lost")
    return found


def text_of(figures: Mapping[str, Any]) -> str:
    """Give everything for people."""
    logins = figures["logins"]
    first, *others = logins["steps"]
    rows = [
        ["connections, seen at the server to the end", f"{figures['least_connections']:,}"],
        ["logins/s, full handshake", f"{logins['per_s']:.0f}"],
        [f"the first {first['connections']:,}", f"{first['per_s']:.0f}"],
    ]
    if others:
        rows.append(
            [f"up to the last, {others[-1]['connections']:,}", f"{others[-1]['per_s']:.0f}"]
        )
    if "cpu_ms" in logins:
        rows += [
            ["server CPU a login, ms", f"{logins['cpu_ms']:.2f}"],
            ["memory a connection, KiB", f"{logins['kib_per_connection']:.1f}"],
        ]
    parts = [table(["", ""], rows), minutes_table(figures), LEGEND, *complaints(figures)]
    return "\n\n".join(parts)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Hold the connections and run the load; give the figures.

    Raises:
        GeneratorError: the load failed, for instance because the server closed a connection.
        PeerError: the server does not start.
    """
    cut = flow.plan(options.seconds)
    held = options.connections - 2 * options.pairs
    with own.directory(options.scratch) as place:
        program = generator.compiled()
        say(f"registering {options.connections} accounts …")
        own.enlist(place, [f"h{i}" for i in range(held)] + own.pair_names(options.pairs))
        values = own.flow_values(
            place, pairs=options.pairs, rate=options.rate, warm=WARM_S, idle=held
        )
        with own.serving(place) as (server, _), watched(server, own.database(place)) as samples:
            targets.pin(targets.LOAD_CORE)
            seen = Seen(server, sockets(server.pid))

            def on_interval(part: Interval) -> None:
                seen.count()
                say(progress(part, samples, cut))

            intervals = flow.run(program, values, cut, on_held=seen.enter, on_interval=on_interval)
    return {
        "machine": own.machine("held", options.scratch),
        "load": {"pairs": options.pairs, "rate_per_s": options.rate, "part_s": cut.part_s},
        "connections": options.connections,
        "least_connections": min(seen.connections),
        "logins": logins_of(seen.steps),
        **lines_of(intervals, samples),
    }


def parsed() -> argparse.Namespace:
    """Read the arguments."""
    parser = own.parser("held", __doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="default %(default)s")
    parser.add_argument("--rate", type=int, default=RATE_PER_S, help="messages/s, of all pairs")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="that the messages flow between")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that they flow")
    options = parser.parse_args()
    if options.quick:
        for name, value in QUICK.items():
            setattr(options, name, min(getattr(options, name), value))
    if options.connections <= 2 * options.pairs:
        parser.error("the connections of the pairs are among --connections")
    return options


def main() -> int:
    """Measure and print; fail when a message was lost or misplaced, or a connection lost."""
    options = parsed()
    short = shortage(options.connections, targets.raise_descriptor_limit(), PORT_RANGE.read_text())
    if short:
        raise SystemExit(short)
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
