"""The scenarios themselves, tiny, with real processes: they run, prove something, and notice."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from reliability import history as h
from reliability.load import __main__ as program
from reliability.load import frozen, leak, restart, slowloris, storm
from reliability.load.desk import desk
from reliability.load.figures import Check
from reliability.promise import Demands

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

TIMED = {
    "others' p99 while frozen",
    "all resumed",
    "memory",
    "memory in the second half",
    "longest of them, with retries",
    *(f"first {what}, {how}" for what in ("ack", "delivery") for how in restart.KINDS.values()),
}
"""Bars of time belong to the programs: this machine may be doing anything else."""


def untimed(checks: list[Check]) -> list[str]:
    return [str(check) for check in checks if not check.good and check.name not in TIMED]


def test_frozen() -> None:
    sizes = frozen.Sizes(
        clients=12,
        frozen=2,
        phase_s=3.0,
        small_per_s=60,
        large_per_s=80,
        outgoing_bytes=256 * 1024,
    )
    report = frozen.run(sizes, "tiny")
    assert untimed(report.checks) == []
    assert report.figures["paused"] == 2
    assert report.lifted["outgoing_bytes"] == str(256 * 1024)


def test_storm() -> None:
    sizes = storm.Sizes(sessions=20, with_waiting=4, waiting_each=3, before_s=0.5)
    report = storm.run(sizes, "tiny")
    assert untimed(report.checks) == []
    assert report.figures["waiting"] == 12


def test_slowloris() -> None:
    report = slowloris.run(slowloris.Sizes(connections=1_200, per_s=600, honest=2), "tiny")
    assert untimed(report.checks) == []
    assert report.lifted == {"exempt_networks": ""}


def test_leak(tmp_path: Path) -> None:
    sizes = leak.Sizes(
        seconds=3, warm_s=1, clients=10, messages_per_s=50, sample_s=0.25, slope_mib_per_h=1.0
    )
    samples = tmp_path / "samples.jsonl"
    report = leak.run(sizes, "tiny", samples)
    assert untimed(report.checks) == []
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) >= 6
    assert all(line["rss_mib"] > 10 for line in lines)


def test_restart_by_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = restart.Sizes(messages=2_000, recipients=10, senders=5)
    monkeypatch.setattr(restart, "SHORT", tiny)
    status = program.main(["restart", "--json", str(tmp_path / "r.json")])
    (report,) = json.loads((tmp_path / "r.json").read_text())
    checks = [Check(**check) for check in report["checks"]]
    assert untimed(checks) == []
    assert status == (0 if all(check.good for check in checks) else 1)
    assert report["figures"]["stored"] == 2_000
    assert "restart (short):" in capsys.readouterr().out


def test_a_message_that_a_journal_lacks_fails_the_run() -> None:
    with desk("storm", "planted", storm.SHORT) as here:
        device = {"a": ["A"], "b": ["B"]}
        written = h.Written(1.0, "a:1", "a", "A", "b", h.digest("x"))
        events: list[h.Event] = [written, h.Acked(2.0, "a:1", 1, 1)]
        h.save(here.directory / "crowd.jsonl", events)
        here.judge(Demands(devices=device), ["crowd"], [h.Settled(time.monotonic())])
    assert not here.report.good
    assert any(text.startswith("lost: a:1") for text in here.report.violations)


def test_the_program_ends_with_one_if_a_check_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    impossible = restart.Sizes(messages=500, recipients=5, senders=5, first_ack_s=0.0)
    monkeypatch.setattr(restart, "SHORT", impossible)
    assert program.main(["restart"]) == 1


def test_help_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in program.TOPICS)
