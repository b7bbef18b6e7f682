"""Each scenario's demands: a good run passes, and each planted fault fails by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reliability import history as h
from reliability.kernel import Held
from reliability.load import frozen, leak, restart, slowloris, storm
from reliability.load.server import Gauge

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.load.figures import Check

INFINITE = float("inf")

FROZEN: dict[str, Any] = {
    "undisturbed_p99_ms": 20.0,
    "frozen_p99_ms": 30.0,
    "frozen_samples": 1_000,
    "rss_grown_mib": 60.0,
    "shown_while_frozen": 0,
    "paused": 100,
    "waiting_at_thaw": 5_000,
    "gaps": 0,
    "errors": 0,
    "notices": 0,
}
STORM: dict[str, Any] = {
    "online_before": 12_000,
    "lost": 12_000,
    "in_flight": 40,
    "waiting": 20_000,
    "resumed": 12_000,
    "all_resumed_s": 25.0,
    "gaps": 0,
    "errors": 0,
    "notices": 0,
}
SLOWLORIS: dict[str, Any] = {
    "opened": 12_000,
    "opened_silent": 3_000,
    "opened_trickling": 3_000,
    "opened_half_open": 3_000,
    "opened_speechless": 3_000,
    "refused": 9_000,
    "descriptors_grown": 600,
    "descriptors_left": 0,
    "rss_grown_mib": 12.0,
    "rss_slope_mib_per_min": 1.0,
    "peace_logins": 30,
    "attack_logins": 30,
    "attack_max_s": 3.0,
}
LEAK: dict[str, Any] = {
    "acked": 360_000,
    "losses": 18_000,
    "rss_slope_mib_per_h": 0.4,
    "descriptors_left": 0,
    "threads_left": 0,
    "database_max_mib": 5.0,
    "gaps": 0,
    "errors": 0,
    "notices": 0,
}
RESTART: dict[str, Any] = {"stored": 1_000_000, "clean_stop_status": 0} | {
    f"{kind}_first_{what}_s": 0.5
    for kind in ("clean", "killed", "cold")
    for what in ("ack", "shown")
}


def failures(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.good]


def test_good_runs_pass() -> None:
    assert failures(frozen.judge(FROZEN, frozen.FULL)) == []
    assert failures(storm.judge(STORM, storm.FULL)) == []
    assert failures(slowloris.judge(SLOWLORIS, slowloris.FULL)) == []
    assert failures(leak.judge(LEAK, leak.FULL)) == []
    assert failures(restart.judge(RESTART, restart.FULL)) == []


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"frozen_p99_ms": 40.1}, "others' p99 while frozen"),
        ({"frozen_samples": 3}, "others' messages while frozen"),
        ({"rss_grown_mib": 140.0}, "memory grown"),
        ({"shown_while_frozen": 1}, "shown by the frozen while frozen"),
        ({"paused": 99}, "readers that the server paused"),
        ({"waiting_at_thaw": 0}, "waited for the frozen"),
        ({"gaps": 1}, "gaps in a mailbox"),
        ({"notices": 1}, "refusals and tombstones"),
    ],
)
def test_faults_of_a_frozen_run(fault: dict[str, Any], name: str) -> None:
    assert failures(frozen.judge(FROZEN | fault, frozen.FULL)) == [name]


def test_a_small_percentile_is_held_against_the_floor() -> None:
    quick = {"undisturbed_p99_ms": 1.0, "frozen_p99_ms": frozen.FULL.floor_ms}
    assert failures(frozen.judge(FROZEN | quick, frozen.FULL)) == []


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"online_before": 11_999}, "sessions before"),
        ({"lost": 11_999}, "sessions that the kill ended"),
        ({"in_flight": 0}, "on their way when it died"),
        ({"waiting": 0}, "waited through the storm"),
        ({"resumed": 11_999}, "sessions resumed"),
        ({"all_resumed_s": 30.1}, "all resumed"),
        ({"all_resumed_s": INFINITE}, "all resumed"),
        ({"gaps": 1}, "gaps in a mailbox"),
        ({"errors": 1}, "refusals and tombstones"),
    ],
)
def test_faults_of_a_storm(fault: dict[str, Any], name: str) -> None:
    assert failures(storm.judge(STORM | fault, storm.FULL)) == [name]


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"opened": 11_000}, "attacking connections"),
        ({"opened_half_open": 0}, "of them half_open"),
        ({"refused": 0}, "turned away"),
        ({"descriptors_grown": 30}, "places taken"),
        ({"descriptors_grown": 1_500}, "descriptors at the peak, more than before"),
        ({"descriptors_left": 1}, "descriptors left behind"),
        ({"rss_grown_mib": 200.0}, "memory grown"),
        ({"rss_slope_mib_per_min": 30.0}, "memory in the second half"),
        ({"attack_logins": 29}, "honest logins under attack"),
        ({"attack_max_s": 16.0}, "longest of them, with retries"),
    ],
)
def test_faults_of_an_attack(fault: dict[str, Any], name: str) -> None:
    assert failures(slowloris.judge(SLOWLORIS | fault, slowloris.FULL)) == [name]


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"acked": 10}, "messages"),
        ({"losses": 0}, "sessions lost and made again"),
        ({"rss_slope_mib_per_h": 1.1}, "memory"),
        ({"descriptors_left": 1}, "descriptors left behind"),
        ({"threads_left": 1}, "threads left behind"),
        ({"database_max_mib": 100.0}, "database at its largest"),
    ],
)
def test_faults_of_a_leak_run(fault: dict[str, Any], name: str) -> None:
    assert failures(leak.judge(LEAK | fault, leak.FULL)) == [name]


def test_a_start_that_was_slow_or_not_measured_fails() -> None:
    slow = RESTART | {"cold_first_ack_s": 2.1}
    assert failures(restart.judge(slow, restart.FULL)) == ["first ack, cold file"]
    unmeasured = {key: value for key, value in RESTART.items() if key != "killed_first_shown_s"}
    assert failures(restart.judge(unmeasured, restart.FULL)) == ["first delivery, after kill -9"]


@pytest.mark.parametrize("status", [1, -11, None])
def test_a_server_that_does_not_end_well_when_asked_fails(status: int | None) -> None:
    ended = RESTART | {"clean_stop_status": status}
    assert failures(restart.judge(ended, restart.FULL)) == ["clean end"]
    silent = {key: value for key, value in RESTART.items() if key != "clean_stop_status"}
    assert failures(restart.judge(silent, restart.FULL)) == ["clean end"]


def test_only_a_server_that_kill_has_ended_was_killed() -> None:
    assert restart.killed(-9).fired
    assert not restart.killed(1).fired


def test_a_reader_counts_as_paused_only_if_its_pipe_is_full() -> None:
    """Of 2 MB sent: one that reads, one whose kernel took all, one whose server kept it, one whose
    messages stayed in the store."""
    held = [Held(0, 0), Held(1_900_000, 50_000), Held(1_000_000, 600_000), Held(200_000, 4_000)]
    assert frozen.paused(held, 2_000_000, 1_000_000) == 1
    assert frozen.paused([], 2_000_000, 1_000_000) == 0


def test_a_reader_that_was_not_frozen_is_seen_in_its_journal(tmp_path: Path) -> None:
    shown = [h.Displayed(at, "f1", "d", f"o1:{n}", "o1", n) for n, at in enumerate((1.0, 5.0, 9.0))]
    h.save(tmp_path / "j", [*shown, h.Cursor(5.0, "d", 2)])
    assert frozen.shown_between(tmp_path / "j", 2.0, 8.0) == 1
    assert frozen.shown_between(tmp_path / "j", 2.0, 4.0) == 0


def samples(*values: float) -> list[Gauge]:
    return [Gauge(float(at), value, 20, 4, 1.0) for at, value in enumerate(values)]


def test_growth_before_the_warm_up_is_over_does_not_count() -> None:
    assert leak.rss_slope_mib_per_h(samples(1, 5, 9, 20, 20, 20), 3) == pytest.approx(0.0)


def test_growth_after_it_does() -> None:
    found = leak.rss_slope_mib_per_h(samples(50, 50, 50, 51, 52, 53), 2)
    assert found == pytest.approx(3_600.0)


def test_a_run_shorter_than_its_warm_up_is_judged_by_its_second_half() -> None:
    assert leak.rss_slope_mib_per_h(samples(1, 2, 3, 4), 600) == pytest.approx(3_600.0)
