from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks import chart
from unit_tests.benchmarks.figures import late, rate, run, system

SVG = "{http://www.w3.org/2000/svg}"


def test_the_best_comes_first_with_tls_where_there_is_tls() -> None:
    systems = [
        system("jim", "JIM", durable=True, w64=rate(200_000), latency=late(2)),
        system("redis", "Redis", durable=True, w64=rate(300_000), latency=late(3)),
        system("redis", "Redis", tls=False, durable=True, w64=rate(400_000), latency=late(1)),
        system("old", "Old", tls=False, w64=rate(10_000), latency=late(4)),
    ]
    assert [bar[2:] for bar in chart.bars(systems, "w64", "rate")] == [
        ("300 k", "durable"),
        ("200 k", "ours"),
        ("10.0 k", "other"),
    ]
    names = [bar.name for bar in chart.bars(systems, "latency", "p99_ms")]
    assert names == ["JIM", "Redis", "Old (no TLS)"]


def test_the_picture_is_well_formed_and_its_longest_bar_is_the_best() -> None:
    figures = run(
        system("jim", "JIM", durable=True, w64=rate(100_000)),
        system("x", "A <&> B", w64=rate(200_000)),
    )
    root = ET.fromstring(chart.picture(figures))
    bars = root.findall(f"{SVG}rect")
    assert [(bar.get("class"), float(bar.get("width") or 0)) for bar in bars] == [
        ("other", chart.BARS),
        ("ours", chart.BARS / 2),
    ]
    assert "A <&> B" in [text.text for text in root.iter(f"{SVG}text")]


def test_what_was_not_measured_has_no_panel() -> None:
    assert "<rect" not in chart.picture(run(system("jim", "JIM")))
