"""Writes the figures of one run as Markdown: medians, spread, ratios, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.generator import BOTTLENECK
from benchmarks.workloads import (
    DAY,
    FAULTS,
    IDLE,
    LATENCY,
    LOGINS,
    OFFLINE,
    THROUGHPUT,
    WORKLOADS,
    Workload,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

OURS: Final = "jim"
"""The key of the system that ratios refer to."""

NOTHING: Final = "-"
"""What was not measured: the protocol or the program does not have it."""

LATENCY_POINTS: Final = {"p50_ms": "p50", "p99_ms": "p99", "p999_ms": "p99.9", "max_ms": "max"}

OF_GENERATOR: Final = ("sent late, p99", "generator's core")
"""Where something is due all the time, the generator never sleeps, and its share says little: what
it adds to a latency is how late it sends."""


def tables(figures: Mapping[str, Any]) -> str:
    """Give everything for people: machine, versions, the tables, and complaints."""
    systems = figures["systems"]
    parts = [_machine(figures), _throughput(systems)]
    parts += [_latency(systems, workload) for workload in _of(LATENCY, systems)]
    parts += [_day(systems, workload) for workload in _of(DAY, systems)]
    parts += [_offline(systems, workload) for workload in _of(OFFLINE, systems)]
    parts += [_connections(systems), *complaints(figures)]
    return "\n\n".join(part for part in parts if part)


def complaints(figures: Mapping[str, Any], only: str | None = None) -> list[str]:
    """Say which systems lost messages, gave them twice or in another order, or failed.

    A message counts as lost when nothing at all has arrived for 4 s after the senders' end.
    """
    found = []
    for system in figures["systems"]:
        if only is not None and system["key"] != only:
            continue
        for key, workload in system["workloads"].items():
            if text := faults(workload):
                found.append(f"{title(system)}, {key}: {text}")
        found += [f"{title(system)}, {key}: {text}" for key, text in system["failures"].items()]
    return found


def faults(workload: Mapping[str, Any]) -> str:
    """Say what happened to messages that must not: "3 lost, 2 doubled"; empty when all is well."""
    counts = {text: workload.get(name, 0) for name, text in FAULTS.items()}
    return ", ".join(f"{count} {text}" for text, count in counts.items() if count)


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


def title(system: Mapping[str, Any]) -> str:
    """Name a row for people."""
    return f"{system['title']}, {'TLS' if system['tls'] else 'plain'}"


def secure(systems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give each system once: with TLS, or plain where there is no TLS."""
    with_tls = {system["key"] for system in systems if system["tls"]}
    return [system for system in systems if system["tls"] or system["key"] not in with_tls]


def _machine(figures: Mapping[str, Any]) -> str:
    machine = figures["machine"]
    versions = ", ".join(figures["versions"].values())
    return (
        f"{machine['date']}, {machine['cores']} cores of {machine['processor']}, "
        f"Linux {machine['kernel']}, Python {machine['python']}, {machine['loop']}, "
        f"an fdatasync takes {machine['flush_ms']:.2f} ms.\n{versions}.\n`{machine['command']}`"
    )


def _of(mode: str, systems: Sequence[Mapping[str, Any]]) -> list[Workload]:
    """Give the workloads of a mode that were measured of any system."""
    measured = {key for system in systems for key in system["workloads"]}
    return [
        workload for workload in WORKLOADS if workload.mode == mode and workload.key in measured
    ]


def _ours(systems: Sequence[Mapping[str, Any]], key: str, figure: str = "rate") -> float | None:
    """Give the median rate of our server, or None when it was not measured."""
    for system in systems:
        if system["key"] == OURS and key in system["workloads"]:
            return float(system["workloads"][key][figure]["median"])
    return None


def _rate(system: Mapping[str, Any], key: str, ours: float | None, figure: str = "rate") -> str:
    """Give a cell: median, spread, ratio to ours, and a star where the generator was the limit."""
    found = system["workloads"].get(key)
    if found is None or figure not in found:
        return NOTHING
    rate = found[figure]
    star = "\\*" if found["share"] > BOTTLENECK else ""
    spread = f" ±{spread_percent(rate):.0f} %" if len(found["rounds"]) > 1 else ""
    ratio = f" (×{rate['median'] / ours:.2f})" if ours and system["key"] != OURS else ""
    return f"{short(rate['median'])}{star}{spread}{ratio}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _share(found: Mapping[str, Any]) -> str:
    """Give the cell for the generator's share of its core."""
    return _percent(found["share"]) if "share" in found else NOTHING


def _of_generator(found: Mapping[str, Any]) -> list[str]:
    """Give the cells that show whether a schedule was kept."""
    return [_median(found, "sent_p99_ms", "{:.2f}".format), _share(found)]


def _median(found: Mapping[str, Any], figure: str, form: Callable[[float], str]) -> str:
    return form(found[figure]["median"]) if figure in found else NOTHING


def _milliseconds(found: Mapping[str, Any], point: str) -> str:
    if point not in found:
        return NOTHING
    value = found[point]
    spread = f" ({value['low']:.2f}-{value['high']:.2f})" if len(found["rounds"]) > 1 else ""
    return f"{value['median']:.2f}{spread}"


def _throughput(systems: Sequence[Mapping[str, Any]]) -> str:
    workloads = _of(THROUGHPUT, systems)
    if not workloads:
        return ""
    ours = {workload.key: _ours(systems, workload.key) for workload in workloads}
    head = ["messages/s", "durable", *(workload.title for workload in workloads)]
    rows = [
        [
            title(system),
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


def _latency(systems: Sequence[Mapping[str, Any]], workload: Workload) -> str:
    """Give the table of one rate, the same for all or a share of each one's own."""
    own_rate = bool(workload.half_of)
    head = [f"ms at {workload.title}", *LATENCY_POINTS.values(), *OF_GENERATOR]
    if own_rate:
        head.insert(1, "messages/s")
    rows = []
    for system in systems:
        found = system["workloads"].get(workload.key, {})
        cells = [_milliseconds(found, point) for point in LATENCY_POINTS]
        if own_rate:
            cells.insert(0, short(found["offered"]["median"]) if "offered" in found else NOTHING)
        rows.append([title(system), *cells, *_of_generator(found)])
    return table(head, rows)


def _day(systems: Sequence[Mapping[str, Any]], workload: Workload) -> str:
    head = [f"ms of {workload.title}", *LATENCY_POINTS.values()]
    head += ["login p99", "server's core", *OF_GENERATOR]
    rows = []
    for system in secure(systems):
        found = system["workloads"].get(workload.key, {})
        cells = [_milliseconds(found, point) for point in LATENCY_POINTS]
        cells += [
            _median(found, "login_p99_ms", "{:.1f}".format),
            _median(found, "server_share", _percent),
        ]
        rows.append([title(system), *cells, *_of_generator(found)])
    return table(head, rows)


def _offline(systems: Sequence[Mapping[str, Any]], workload: Workload) -> str:
    head = ["messages that wait", "how many", "stored/s", "fetched/s", "s to the last"]
    head += ["all, once, in order", "generator's core"]
    ours = {figure: _ours(systems, workload.key, figure) for figure in ("store_rate", "rate")}
    rows = []
    for system in secure(systems):
        found = system["workloads"].get(workload.key, {})
        rates = [_rate(system, workload.key, value, figure) for figure, value in ours.items()]
        complete = (faults(found) or "yes") if found else NOTHING
        cells = [
            _median(found, "waiting", "{:,.0f}".format),
            *rates,
            _median(found, "fetch_s", "{:.1f}".format),
        ]
        rows.append([title(system), *cells, complete, _share(found)])
    return table(head, rows)


def _connections(systems: Sequence[Mapping[str, Any]]) -> str:
    idle, logins = _of(IDLE, systems), _of(LOGINS, systems)
    if not idle and not logins:
        return ""
    head = ["connections", *("KiB each, idle" for _ in idle), *("logins/s" for _ in logins)]
    rows = []
    for system in systems:
        cells = [
            _median(
                system["workloads"].get(workload.key, {}), "kib_per_connection", "{:.1f}".format
            )
            for workload in idle
        ]
        cells += [_rate(system, w.key, _ours(systems, w.key)) for w in logins]
        rows.append([title(system), *cells])
    return table(head, rows)
