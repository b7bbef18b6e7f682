"""Lines of a run that goes on: latency, what the server took, and what the load did. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks import flow
from benchmarks.report import NOTHING, table
from benchmarks.watch import between, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.flow import Interval, Plan
    from benchmarks.watch import Sample

COLUMNS: Final = {
    "per_s": ("messages/s", "{:,.0f}"),
    "p50_ms": ("p50", "{:.2f}"),
    "p90_ms": ("p90", "{:.2f}"),
    "p99_ms": ("p99", "{:.2f}"),
    "p999_ms": ("p99.9", "{:.2f}"),
    "p9999_ms": ("p99.99", "{:.2f}"),
    "max_ms": ("max", "{:.2f}"),
    "cpu_share": ("server", "{:.0%}"),
    "rss_mib": ("RSS", "{:.1f}"),
    "database_mib": ("database", "{:.1f}"),
    "log_mib": ("log", "{:.1f}"),
    "load_share": ("load", "{:.0%}"),
    "lag_ms": ("its delay", "{:.2f}"),
    "waited": ("waited", "{:,}"),
}
"""Figures by their names in the JSON file: the head of the column, and how it is written."""

LEGEND: Final = (
    "Latency in ms from when a message was due to its arrival, counted where it arrived; sizes in "
    "MiB, the most of each; server and load: shares of their cores. Its delay: by how many ms, at "
    "most, the load itself sent later than due. Waited: messages that were due while their sender "
    "had a full window without answers. Both are part of the latency."
)

PROGRESS: Final = ("p50_ms", "p99_ms", "max_ms", "cpu_share", "rss_mib", "database_mib", "log_mib")
"""What whoever waits is told."""


def line_of(part: Interval, samples: Sequence[Sample]) -> dict[str, float]:
    """Give the figures of an interval, with those samples of the server that were taken in it."""
    return {
        "seconds": part.seconds,
        "per_s": part.arrived / part.seconds,
        **part.lateness.figures(),
        **taken(between(samples, part.from_s, part.to_s)),
        "load_share": part.share,
        "lag_ms": part.lag_ms,
        "waited": part.waited,
    }


def lines_of(intervals: Sequence[Interval], samples: Sequence[Sample]) -> dict[str, Any]:
    """Give the figures of the whole run and of its parts."""
    whole = flow.joined(intervals)
    counts = {"sent": whole.sent, "lost": whole.lost, "wrong": whole.wrong}
    return {
        "whole": line_of(whole, samples) | counts,
        "parts": [line_of(part, samples) for part in flow.parts_of(intervals)],
    }


def minutes_table(figures: Mapping[str, Any]) -> str:
    """Give the table: a row for each part, by when it began, and one for the whole."""
    rows, start_s = [], 0.0
    for part in figures["parts"]:
        rows.append([f"{start_s:.0f} s", *_cells(part, COLUMNS)])
        start_s += part["seconds"]
    rows.append(["whole", *_cells(figures["whole"], COLUMNS)])
    return table(["from", *(head for head, _ in COLUMNS.values())], rows)


def misplaced(figures: Mapping[str, Any]) -> list[str]:
    """Complain about messages that did not arrive, or not once and in order."""
    whole = figures["whole"]
    if whole["lost"] or whole["wrong"]:
        return [f"{whole['lost']} lost, {whole['wrong']} doubled or out of order"]
    return []


def progress(part: Interval, samples: Sequence[Sample], cut: Plan) -> str:
    """Say how it goes, in a line."""
    cells = _cells(line_of(part, samples), PROGRESS)
    heads = (COLUMNS[name][0] for name in PROGRESS)
    figures = ", ".join(f"{head} {cell}" for head, cell in zip(heads, cells, strict=True))
    return f"{part.number * cut.interval_s:.0f} of {cut.seconds:.0f} s: {figures}"


def _cells(line: Mapping[str, float], names: Iterable[str]) -> list[str]:
    return [COLUMNS[name][1].format(line[name]) if name in line else NOTHING for name in names]
