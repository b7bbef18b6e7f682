from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import held
from benchmarks.held import Step
from benchmarks.minutes import lines_of
from unit_tests.benchmarks.runs import measured
from unit_tests.benchmarks.test_minutes import RUN, SEEN

if TYPE_CHECKING:
    from pathlib import Path

KIB = 1024

STEPS = [
    Step(1000, seconds=2.0, rss_bytes=90_000 * KIB, cpu_s=3.0),
    Step(2000, seconds=4.0, rss_bytes=110_000 * KIB, cpu_s=4.0),
    Step(2500, seconds=4.0, rss_bytes=120_000 * KIB, cpu_s=4.5),
]


def figures(least: int = 2700, steps: list[Step] = STEPS) -> dict[str, Any]:
    return {
        "connections": 2700,
        "least_connections": least,
        "logins": held.logins_of(steps),
        **lines_of(RUN, SEEN),
    }


def test_logins_are_counted_step_by_step() -> None:
    found = held.logins_of(STEPS)
    assert found["per_s"] == 250
    assert [(each["connections"], each["per_s"]) for each in found["steps"]] == [
        (1000, 500),
        (2000, 250),
        (2500, 125),
    ]


def test_a_connection_takes_what_the_later_ones_took() -> None:
    found = held.logins_of(STEPS)
    assert (found["kib_per_connection"], found["cpu_ms"]) == (20, 1)
    assert "kib_per_connection" not in held.logins_of(STEPS[:1])


def test_the_text_says_it_all() -> None:
    text = held.text_of(figures())
    assert "| connections, seen at the server to the end | 2,700 |" in text
    assert "| the first 1,000 | 500 |" in text
    assert "| up to the last, 2,500 | 125 |" in text
    assert "| memory a connection, KiB | 20.0 |" in text
    assert "| whole |" in text
    assert "| the first 1,000 | 500 |" in held.text_of(figures(steps=STEPS[:1]))


def test_a_connection_that_is_not_there_is_complained_about() -> None:
    assert held.complaints(figures()) == []
    assert held.complaints(figures(2698)) == ["2 of 2700 connections were lost"]


def test_what_the_machine_has_too_little_of_is_named() -> None:
    assert held.shortage(15_000, 20_000, "32768\t60999\n") is None
    assert "ulimit" in (held.shortage(15_000, 15_000, "32768 60999") or "")
    assert "28232" in (held.shortage(30_000, 50_000, "32768 60999") or "")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.usefixtures("flow_program")
def test_the_command_holds_connections_while_messages_flow(tmp_path: Path) -> None:
    small = ("--connections", "20", "--pairs", "2", "--rate", "100", "--seconds", "4")
    found = measured("held", tmp_path, *small)
    assert (found["connections"], found["least_connections"]) == (20, 20)
    assert found["whole"]["samples"] == 400
    assert [each["connections"] for each in found["logins"]["steps"]] == [16]
