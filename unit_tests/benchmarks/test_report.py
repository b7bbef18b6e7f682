from __future__ import annotations

from benchmarks import report
from unit_tests.benchmarks.figures import late, rate, run, system


def test_a_cell_has_median_spread_and_the_ratio_to_ours() -> None:
    ours = system("jim", "JIM", durable=True, w64=rate(200_000, 210_000, 190_000))
    other = system("redis", "Redis", durable=True, w64=rate(300_000, 300_000, 330_000))
    text = report.tables(run(ours, other))
    assert "| JIM, TLS | yes | 200 k ±5 % | - |" in text
    assert "| Redis, TLS | yes | 300 k ±10 % (×1.50) | - |" in text


def test_a_generator_at_its_limit_is_marked() -> None:
    other = system("nats", "NATS", tls=False, w64=rate(1_400_000, share=0.8))
    assert "| NATS, plain | no | 1,400 k\\* |" in report.tables(run(other))


def test_latency_has_its_points() -> None:
    text = report.tables(run(system("jim", "JIM", latency=late(1.5))))
    assert "| JIM, TLS |" + " 1.50 (1.50-1.50) |" * 4 in text


def test_lost_messages_are_complained_about_by_name() -> None:
    lossy = system("x", "Lossy", w1=rate(1000, lost=3))
    figures = run(system("jim", "JIM", w1=rate(1000)), lossy)
    assert report.complaints(figures) == ["Lossy, TLS, w1: 3 lost, 0 doubled or out of order"]
    assert report.complaints(figures, only="jim") == []
    assert report.tables(figures).endswith("3 lost, 0 doubled or out of order")


def test_a_failure_is_told() -> None:
    failed = system("x", "Silent") | {"failures": {"crowd": "no end after 61 s"}}
    assert report.complaints(run(failed)) == ["Silent, TLS, crowd: no end after 61 s"]


def test_rates_have_three_digits() -> None:
    assert [report.short(value) for value in (593, 16_240, 795_000, 1_442_000)] == [
        "593",
        "16.2 k",
        "795 k",
        "1,442 k",
    ]


def test_the_spread_of_nothing_is_nothing() -> None:
    assert report.spread_percent({"median": 0, "low": 0, "high": 0}) == 0
