from __future__ import annotations

from benchmarks import report
from unit_tests.benchmarks.figures import late, rate, run, system, waited


def test_a_cell_has_median_spread_and_the_ratio_to_ours() -> None:
    ours = system("jim", "JIM", durable=True, w64=rate(200_000, 210_000, 190_000))
    other = system("redis", "Redis", durable=True, w64=rate(300_000, 300_000, 330_000))
    text = report.tables(run(ours, other))
    assert "| JIM, TLS | yes | 200 k ±5 % |" in text
    assert "| Redis, TLS | yes | 300 k ±10 % (×1.50) |" in text


def test_what_no_system_was_measured_with_has_neither_column_nor_table() -> None:
    text = report.tables(run(system("jim", "JIM", w64=rate(1000)), system("x", "X", w1=rate(10))))
    assert "| messages/s | durable | 50 pairs, window 64 | 50 pairs, window 1 |" in text
    assert "| JIM, TLS | no | 1.0 k | - |" in text
    assert "p99" not in text
    assert "idle" not in text


def test_a_generator_at_its_limit_is_marked() -> None:
    other = system("nats", "NATS", tls=False, w64=rate(1_400_000, share=0.8))
    assert "| NATS, plain | no | 1,400 k\\* |" in report.tables(run(other))


def test_latency_has_its_points_and_the_generators_share() -> None:
    text = report.tables(run(system("jim", "JIM", latency=late(1.5, sent_p99_ms=0.3, share=0.14))))
    assert "| JIM, TLS |" + " 1.50 |" * 4 + " 0.30 | 14 % |" in text
    text = report.tables(run(system("jim", "JIM", latency=late(1.5, 1, 2))))
    assert "| JIM, TLS |" + " 1.50 (1.00-2.00) |" * 4 in text


def test_latency_at_half_of_its_maximum_says_at_which_rate() -> None:
    ours = system("jim", "JIM", half=late(1.5, offered=90_500, share=0.2))
    text = report.tables(run(ours, system("x", "X")))
    assert "| ms at half of its maximum | messages/s | p50 |" in text
    assert "| JIM, TLS | 90.5 k | 1.50 |" in text
    assert "| X, TLS |" + " - |" * 7 in text


def test_a_day_has_latency_logins_and_shares_with_tls_only() -> None:
    day = late(2.0, share=0.1, sent_p99_ms=0.05, server_share=0.27, login_p99_ms=3.14)
    text = report.tables(run(system("jim", "JIM", day=day), system("jim", "JIM", tls=False)))
    assert "| JIM, TLS |" + " 2.00 |" * 4 + " 3.1 | 27 % | 0.05 | 10 % |" in text
    assert "JIM, plain" not in text


def test_messages_that_waited_are_told_with_their_number_and_whether_all_came() -> None:
    ours = system("jim", "JIM", durable=True, offline=waited(1_000_000, 50_000, 100_000))
    slow = system("x", "Slow", offline=waited(40_000, 2_000, 4_000, lost=2, doubled=1))
    text = report.tables(run(ours, slow, system("irc", "IRC")))
    assert "| JIM, TLS | 1,000,000 | 50.0 k | 100 k | 10.0 | yes | 40 % |" in text
    assert (
        "| Slow, TLS | 40,000 | 2.0 k (×0.04) | 4.0 k (×0.04) | 10.0 | 2 lost, 1 doubled | 40 % |"
        in text
    )
    assert "| IRC, TLS |" + " - |" * 6 in text


def test_lost_messages_are_complained_about_by_name() -> None:
    lossy = system("x", "Lossy", w1=rate(1000, lost=3))
    figures = run(system("jim", "JIM", w1=rate(1000)), lossy)
    assert report.complaints(figures) == ["Lossy, TLS, w1: 3 lost"]
    assert report.complaints(figures, only="jim") == []
    assert report.tables(figures).endswith("Lossy, TLS, w1: 3 lost")


def test_every_fault_of_messages_has_its_word() -> None:
    found = {"lost": 0, "doubled": 1, "disordered": 2, "wrong": 3}
    assert report.faults(found) == "1 doubled, 2 out of order, 3 damaged or misdirected"
    assert report.faults({"lost": 0}) == ""


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
