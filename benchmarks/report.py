"""Writes the figures of one run as Markdown: medians, spread, ratios, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.generator import BOTTLENECK
from benchmarks.workloads import LATENCY, LOGINS, THROUGHPUT, WORKLOADS, Workload

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OURS: Final = "jim"
"""The key of the system that ratios refer to."""

NOTHING: Final = "-"
"""What was not measured: the protocol or the program does not have it."""

LATENCY_POINTS: Final = {"p50_ms": "p50", "p99_ms": "p99", "p999_ms": "p99.9"}


def tables(figures: Mapping[str, Any]) -> str:
    """Give everything for people: machine, versions, the tables, and complaints."""
    systems = figures["systems"]
    parts = [_machine(figures), _throughput(systems), _latency(systems), _rest(systems)]
    return "\n\n".join([*parts, *complaints(figures)])


def complaints(figures: Mapping[str, Any], only: str | None = None) -> list[str]:
    """Say which systems lost messages, gave them twice or in another order, or failed.

    A message counts as lost when nothing at all has arrived for 4 s after the senders' end.
    """
    found = []
    for system in figures["systems"]:
        if only is not None and system["key"] != only:
            continue
        for key, workload in system["workloads"].items():
            if workload["lost"] or workload["wrong"]:
                counts = f"{workload['lost']} lost, {workload['wrong']} doubled or out of order"
                found.append(f"{_title(system)}, {key}: {counts}")
        found += [f"{_title(system)}, {key}: {text}" for key, text in system["failures"].items()]
    return found


def short(value: float) -> str:
    """Give a rate in three digits: 1,442 k, 795 k, 16.2 k, 593."""
    if value < 1000:
        return f"{value:.0f}"
    return f"{value / 1000:,.1f} k" if value < 100_000 else f"{value / 1000:,.0f} k"


def spread_percent(found: Mapping[str, float]) -> float:
    """Give how far the farthest round lies from the median, in percent of it."""
    far = max(found["high"] - found["median"], found["median"] - found["low"])
    return 100 * far / found["median"] if found["median"] else 0.0


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _title(system: Mapping[str, Any]) -> str:
    return f"{system['title']}, {'TLS' if system['tls'] else 'plain'}"


def _machine(figures: Mapping[str, Any]) -> str:
    machine = figures["machine"]
    versions = ", ".join(figures["versions"].values())
    return (
        f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}, {machine['loop']}, "
        f"an fdatasync takes {machine['flush_ms']:.2f} ms.\n{versions}.\n`{machine['command']}`"
    )


def _of(kinds: Iterable[str]) -> list[Workload]:
    return [workload for workload in WORKLOADS if workload.mode in kinds]


def _ours(systems: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Give the median rate of our server, or None when it was not measured."""
    for system in systems:
        if system["key"] == OURS and key in system["workloads"]:
            return float(system["workloads"][key]["rate"]["median"])
    return None


def _rate(system: Mapping[str, Any], key: str, ours: float | None) -> str:
    """Give a cell: median, spread, ratio to ours, and a star where the generator was the limit."""
    found = system["workloads"].get(key)
    if found is None or "rate" not in found:
        return NOTHING
    rate = found["rate"]
    star = "\\*" if found["share"] > BOTTLENECK else ""
    spread = f" ±{spread_percent(rate):.0f} %" if len(found["rounds"]) > 1 else ""
    ratio = f" (×{rate['median'] / ours:.2f})" if ours and system["key"] != OURS else ""
    return f"{short(rate['median'])}{star}{spread}{ratio}"


def _throughput(systems: Sequence[Mapping[str, Any]]) -> str:
    workloads = _of([THROUGHPUT])
    ours = {workload.key: _ours(systems, workload.key) for workload in workloads}
    head = ["messages/s", "durable", *(workload.title for workload in workloads)]
    rows = [
        [
            _title(system),
            "yes" if system["durable"] else "no",
            *(_rate(system, workload.key, ours[workload.key]) for workload in workloads),
        ]
        for system in systems
    ]
    note = (
        f"Median of the rounds, farthest round, ratio to ours. \\* the generator used more than "
        f"{BOTTLENECK:.0%} of its core: the server may be faster."
    )
    return f"{table(head, rows)}\n\n{note}"


def _latency(systems: Sequence[Mapping[str, Any]]) -> str:
    head = ["ms at 2,000/s", *LATENCY_POINTS.values(), "max"]
    rows = []
    for system in systems:
        for workload in _of([LATENCY]):
            found = system["workloads"].get(workload.key, {})
            cells = [_milliseconds(found, point) for point in (*LATENCY_POINTS, "max_ms")]
            rows.append([_title(system), *cells])
    return table(head, rows)


def _milliseconds(found: Mapping[str, Any], point: str) -> str:
    if point not in found:
        return NOTHING
    value = found[point]
    return f"{value['median']:.2f} ({value['low']:.2f}-{value['high']:.2f})"


def _rest(systems: Sequence[Mapping[str, Any]]) -> str:
    logins = _of([LOGINS])[0].key
    ours = _ours(systems, logins)
    rows = []
    for system in systems:
        memory = system["workloads"].get("idle", {}).get("kib_per_connection")
        kib = f"{memory['median']:.1f}" if memory else NOTHING
        rows.append([_title(system), kib, _rate(system, logins, ours)])
    return table(["connections", "KiB each, idle", "logins/s"], rows)
