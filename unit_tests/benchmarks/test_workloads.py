from __future__ import annotations

from benchmarks.peers.base import IRC_BODY_BYTES, System
from benchmarks.workloads import WORKLOADS, summed_up


def test_rounds_become_median_range_and_sums() -> None:
    rounds = [
        {"rate": 3.0, "share": 0.2, "lost": 1, "wrong": 0},
        {"rate": 1.0, "share": 0.6, "lost": 0, "wrong": 2},
        {"rate": 2.0, "share": 0.1, "lost": 0, "wrong": 0},
    ]
    figures = summed_up(rounds)
    assert figures["rate"] == {"median": 2.0, "low": 1.0, "high": 3.0}
    assert (figures["share"], figures["lost"], figures["wrong"]) == (0.6, 1, 2)
    assert figures["rounds"] == rounds


def test_a_line_of_irc_carries_no_long_body() -> None:
    irc = System("irc", "IRC", "irc", durable=False, most_body_bytes=IRC_BODY_BYTES)
    left_out = [workload.key for workload in WORKLOADS if not workload.fits(irc)]
    assert left_out == ["1kB", "16kB"]


def test_a_round_that_lost_messages_has_no_latency_to_sum_up() -> None:
    assert "p50_ms" not in summed_up([{"p50_ms": 1.0}, {"lost": 3}])
