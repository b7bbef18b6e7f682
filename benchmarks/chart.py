"""Draws the figures of one run as an SVG picture: bars, on a light and on a dark page alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.sax.saxutils import escape

from benchmarks.report import OURS, short

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, NAMES, BARS, ROW, HEAD = 860, 235, 500, 22, 46
"""In px: of the picture, of the names before the bars, of the longest bar; of a row, and of a
panel's title. 860 px is what a README shows without scaling."""

STYLE: Final = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.note, .value { fill: #59636e }
.ours { fill: #1a7f64 } .durable { fill: #4a7ebb } .other { fill: #b3bac2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note, .value { fill: #9198a1 }
  .ours { fill: #2ea486 } .durable { fill: #5b8fd0 } .other { fill: #59636e }
}"""
"""Neutral greys for what stores nothing, a colour for what does, and one for ours."""

PANELS: Final = (
    ("crowd", "rate", "1,000 pairs, window 4: messages/s"),
    ("w64", "rate", "50 pairs, window 64: messages/s"),
    ("w1", "rate", "50 pairs, one message under way: messages/s"),
    ("latency", "p99_ms", "2,000 messages/s: p99 in ms, less is better"),
)


class Bar(NamedTuple):
    """One bar: its name, its length's value, the text behind it, and its class in the style."""

    name: str
    value: float
    text: str
    kind: str


def bars(systems: Sequence[Mapping[str, Any]], workload: str, figure: str) -> list[Bar]:
    """Give the bars of a panel, the best first: with TLS, or plain where there is no TLS."""
    found = []
    with_tls = {system["key"] for system in systems if system["tls"]}
    for system in systems:
        if not system["tls"] and system["key"] in with_tls:
            continue
        values = system["workloads"].get(workload, {}).get(figure)
        if values:
            found.append(_bar(system, values["median"], figure))
    return sorted(found, key=lambda bar: bar.value, reverse=figure == "rate")


def _bar(system: Mapping[str, Any], value: float, figure: str) -> Bar:
    kind = "durable" if system["durable"] else "other"
    return Bar(
        system["title"] + ("" if system["tls"] else " (no TLS)"),
        value,
        short(value) if figure == "rate" else f"{value:.2f}",
        "ours" if system["key"] == OURS else kind,
    )


def picture(figures: Mapping[str, Any]) -> str:
    """Give the whole picture as the text of an SVG file."""
    machine = figures["machine"]
    parts: list[str] = []
    top = 0
    for workload, figure, title in PANELS:
        found = bars(figures["systems"], workload, figure)
        if found:
            parts.append(_panel(found, title, top))
            top += HEAD + ROW * len(found)
    notes = (
        f"One server core, TLS 1.3, bodies of 100 bytes, {machine['date']}.",
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


def _panel(found: Sequence[Bar], title: str, top: int) -> str:
    most = max(bar.value for bar in found) or 1.0
    lines = [f'<text class="title" x="0" y="{top + 30}">{escape(title)}</text>']
    for index, bar in enumerate(found):
        y = top + HEAD + ROW * index
        length = max(1.0, BARS * bar.value / most)
        place = f'x="{NAMES}" y="{y}" width="{length:.1f}" height="16"'
        behind = f'x="{NAMES + length + 6:.1f}" y="{y + 12}"'
        lines += [
            f'<text x="0" y="{y + 12}">{escape(bar.name)}</text>',
            f'<rect class="{bar.kind}" {place} rx="2"/>',
            f'<text class="value" {behind}>{escape(bar.text)}</text>',
        ]
    return "\n".join(lines)
