from __future__ import annotations

from benchmarks.flow import Plan
from benchmarks.minutes import lines_of, minutes_table, misplaced, progress
from benchmarks.watch import Sample
from unit_tests.benchmarks.runs import MS, interval

MIB = 2**20

SEEN = [
    Sample(at_s, cpu_s=(at_s - 100) / 2, rss_bytes=50 * MIB, database_bytes=MIB, log_bytes=4 * MIB)
    for at_s in range(100, 113)
]
"""A server that uses half of its core, all the time."""

RUN = [interval(number) for number in range(1, 7)]


def test_a_part_has_what_was_seen_while_it_lasted() -> None:
    whole = lines_of([*RUN[:5], interval(6, lateness_ns=[[80 * MS, 10]])], SEEN)
    first, second = whole["parts"]
    assert (first["seconds"], first["per_s"], first["samples"]) == (6, 5, 30)
    assert (first["max_ms"], second["max_ms"], whole["whole"]["max_ms"]) == (5, 80, 80)
    assert (first["cpu_share"], first["log_mib"]) == (0.5, 4)
    assert whole["whole"]["sent"] == 60


def test_the_table_has_a_row_a_part_and_one_for_the_whole() -> None:
    text = minutes_table(lines_of(RUN, SEEN))
    starts = [line.split("|")[1].strip() for line in text.splitlines()[2:]]
    assert starts == ["0 s", "6 s", "whole"]
    row = "5 | 1.00 | 1.00 | 5.00 | 5.00 | 5.00 | 5.00 | 50% | 50.0 | 1.0 | 4.0 | 25% | 0.50 | 0 |"
    assert f"| whole | {row}" in text


def test_what_nobody_saw_is_no_figure() -> None:
    nothing = lines_of([interval(1, lateness_ns=[])], [])
    assert "| whole | 5 | - | - | - | - | - | - | - | - | - | - | 25% |" in minutes_table(nothing)


def test_lost_and_misplaced_messages_are_complained_about() -> None:
    assert misplaced(lines_of(RUN, SEEN)) == []
    bad = lines_of([*RUN[:5], interval(6, lost=3, wrong=2)], SEEN)
    assert misplaced(bad) == ["3 lost, 2 doubled or out of order"]


def test_whoever_waits_is_told_how_far_it_is() -> None:
    text = progress(interval(2), SEEN, Plan(6.0, 4))
    assert text.startswith("4 of 24 s: p50 1.00, p99 5.00, max 5.00, server 50%, RSS 50.0")
