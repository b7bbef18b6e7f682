from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks import chart
from unit_tests.benchmarks.figures import late, rate, run, system

SVG = "{http://www.w3.org/2000/svg}"


THROUGHPUT = chart.Panel("w64", "rate", "messages/s")
P99 = chart.Panel("latency", "p99_ms", "p99")


def test_the_best_comes_first_with_tls_where_there_is_tls() -> None:
    systems = [
        system("jim", "JIM", durable=True, w64=rate(200_000), latency=late(2)),
        system("redis", "Redis", durable=True, w64=rate(300_000), latency=late(3)),
        system("redis", "Redis", tls=False, durable=True, w64=rate(400_000), latency=late(1)),
        system("old", "Old", tls=False, w64=rate(10_000), latency=late(4)),
    ]
    assert [bar[2:] for bar in chart.bars(systems, THROUGHPUT)] == [
        ("300 k", "durable"),
        ("200 k", "ours"),
        ("10.0 k", "other"),
    ]
    names = [bar.name for bar in chart.bars(systems, P99)]
    assert names == ["JIM", "Redis", "Old (no TLS)"]


def test_the_rate_of_a_latency_of_its_own_stands_beside_it() -> None:
    panel = chart.Panel("half", "p99_ms", "p99", "offered")
    ours = system("jim", "JIM", half=late(2.5, offered=90_000))
    assert [bar.text for bar in chart.bars([ours], panel)] == ["2.50 at 90.0 k/s"]


def test_what_is_far_too_late_is_cut_and_what_is_fast_is_not() -> None:
    slow = [system(str(value), "S", latency=late(value)) for value in (1, 2, 3, 4000)]
    assert chart.longest(chart.bars(slow, P99), P99) == chart.CUT * 2.5
    assert chart.picture(run(*slow)).count('class="cut"') == 1
    fast = [system(str(value), "S", w64=rate(value)) for value in (1, 2, 3, 4000)]
    assert chart.longest(chart.bars(fast, THROUGHPUT), THROUGHPUT) == 4000
    assert 'class="cut"' not in chart.picture(run(*fast))


def test_panels_stand_in_two_columns_and_end_above_the_notes() -> None:
    ours = system("jim", "JIM", w64=rate(1), w1=rate(1), crowd=rate(1))
    root = ET.fromstring(chart.picture(run(ours)))
    heads = [
        (int(text.get("x") or 0), int(text.get("y") or 0))
        for text in root.iter(f"{SVG}text")
        if text.get("class") == "title"
    ]
    below = chart.HEAD + chart.ROW
    assert heads == [(0, 30), (chart.COLUMN + chart.GAP, 30), (0, 30 + below)]
    notes = [
        int(text.get("y") or 0) for text in root.iter(f"{SVG}text") if text.get("class") == "note"
    ]
    assert min(notes) > 2 * below


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
