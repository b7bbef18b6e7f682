"""Draws the figures of one run as an SVG picture: bars, on a light and on a dark page alike."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.report import OURS, secure, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, COLUMN, GAP, ROW, HEAD = 860, 415, 30, 20, 46
"""In px: of the picture, of each of its two columns and between them; of a row, and of a panel's
title. 860 px is what a README shows without scaling."""

NAMES, BARS = 180, 126
"""Of a column in px: the names before the bars, the longest bar; the rest is the text behind it."""

CUT: Final = 10.0
"""A latency of more times the panel's median is cut, or nobody could tell the others apart."""

STYLE: Final = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px }
.note, .value { fill: #59636e }
.ours { fill: #1a7f64 } .durable { fill: #4a7ebb } .other { fill: #b3bac2 }
.cut { fill: none; stroke: #59636e; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note, .value { fill: #9198a1 }
  .ours { fill: #2ea486 } .durable { fill: #5b8fd0 } .other { fill: #59636e }
  .cut { stroke: #e6edf3 }
}"""
"""Neutral greys for what stores nothing, a colour for what does, and one for ours."""


class Panel(NamedTuple):
    """What a panel shows: a figure of a workload, and a rate to name beside it."""

    workload: str
    figure: str
    title: str
    beside: str = ""

    @property
    def more_is_better(self) -> bool:
        """Whether the longest bar is the best."""
        return not self.figure.endswith("_ms")


PANELS: Final = (
    Panel("crowd", "rate", "1,000 pairs, window 4: messages/s"),
    Panel("w64", "rate", "50 pairs, window 64: messages/s"),
    Panel("w1", "rate", "50 pairs, one message under way: messages/s"),
    Panel("latency", "p99_ms", "2,000 messages/s: p99 in ms, less is better"),
    Panel("half", "p99_ms", "Half of its own maximum: p99 in ms, less is better", "offered"),
    Panel("day", "p99_ms", "A mixed day: p99 in ms, less is better"),
    Panel("offline", "store_rate", "Stored for 1,000 who are away: messages/s"),
    Panel("offline", "rate", "Fetched by them on their return: messages/s"),
)


class Bar(NamedTuple):
    """One bar: its name, its length's value, the text behind it, and its class in the style."""

    name: str
    value: float
    text: str
    kind: str


def bars(systems: Sequence[Mapping[str, Any]], panel: Panel) -> list[Bar]:
    """Give the bars of a panel, the best first: with TLS, or plain where there is no TLS."""
    found = []
    for system in secure(systems):
        figures = system["workloads"].get(panel.workload, {})
        if panel.figure in figures:
            found.append(_bar(system, figures, panel))
    return sorted(found, key=lambda bar: bar.value, reverse=panel.more_is_better)


def _bar(system: Mapping[str, Any], figures: Mapping[str, Any], panel: Panel) -> Bar:
    kind = "durable" if system["durable"] else "other"
    value = figures[panel.figure]["median"]
    text = short(value) if panel.more_is_better else _milliseconds(value)
    if panel.beside in figures:
        text += f" at {short(figures[panel.beside]['median'])}/s"
    return Bar(
        system["title"] + ("" if system["tls"] else " (no TLS)"),
        value,
        text,
        "ours" if system["key"] == OURS else kind,
    )


def _milliseconds(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def longest(found: Sequence[Bar], panel: Panel) -> float:
    """Give the value of a panel's longest bar: the largest there is, or where others are cut."""
    most = max(bar.value for bar in found) or 1.0
    if panel.more_is_better:
        return most
    return min(most, CUT * statistics.median(bar.value for bar in found) or most)


def picture(figures: Mapping[str, Any]) -> str:
    """Give the whole picture as the text of an SVG file."""
    drawn = [(panel, bars(figures["systems"], panel)) for panel in PANELS]
    shown = [(panel, found) for panel, found in drawn if found]
    parts: list[str] = []
    top = 0
    for pair in zip(shown[::2], [*shown[1::2], None], strict=False):
        for left, column in zip((0, COLUMN + GAP), pair, strict=True):
            if column is not None:
                panel, found = column
                parts.append(_panel(found, panel, left, top))
        top += HEAD + ROW * max(len(column[1]) for column in pair if column)
    notes = (
        f"One server core, TLS 1.3, bodies of 100 bytes, {figures['machine']['date']}.",
        "Green: JIM, on disk before it is acknowledged. Blue: others that do this. Grey: the rest.",
    )
    for note in notes:
        top += ROW
        parts.append(f'<text class="note" x="0" y="{top + 6}">{escape(note)}</text>')
    size = f'width="{WIDTH}" height="{top + ROW}" viewBox="0 0 {WIDTH} {top + ROW}"'
    label = 'role="img" aria-label="JIM beside other servers"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _panel(found: Sequence[Bar], panel: Panel, left: int, top: int) -> str:
    most = longest(found, panel)
    lines = [f'<text class="title" x="{left}" y="{top + 30}">{escape(panel.title)}</text>']
    for index, bar in enumerate(found):
        y = top + HEAD + ROW * index
        start = left + NAMES
        length = min(BARS, max(1.0, BARS * bar.value / most))
        place = f'x="{start}" y="{y}" width="{length:.1f}" height="15"'
        behind = f'x="{start + length + 6:.1f}" y="{y + 12}"'
        lines += [
            f'<text x="{left}" y="{y + 12}">{escape(bar.name)}</text>',
            f'<rect class="{bar.kind}" {place} rx="2"/>',
            f'<text class="value" {behind}>{escape(bar.text)}</text>',
        ]
        if bar.value > most:  # a stroke across it: it goes on
            at = start + length - 14
            lines.append(f'<path class="cut" d="M{at:.1f} {y + 17}l6 -19m4 0l-6 19"/>')
    return "\n".join(lines)
