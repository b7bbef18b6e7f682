"""Campaigns: shares of the time, going on after a stop, failures kept, the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reliability import campaign
from reliability.campaign import Campaign, Task

if TYPE_CHECKING:
    from pathlib import Path

WORK = """
import json, sys
seed, amount, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
open(file, "w").write(json.dumps({"acks": amount * 2}))
print("seed", seed)
sys.exit(seed in BAD)
"""


def task(name: str, share: float = 1.0, bad: tuple[int, ...] = (), missing: str = "") -> Task:
    code = WORK.replace("BAD", repr(bad))

    def command(seed: int, amount: int, file: str) -> list[str]:
        return ["reliability_slice", code, str(seed), str(amount), file]

    return Task(name, "runs", 10, share, command, lambda result: int(result["acks"]), missing)


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    found: list[Task] = []
    monkeypatch.setattr(campaign, "tasks", lambda: found)
    real = campaign._run

    def run(command: list[str]) -> tuple[int, str]:
        return real([command[0], "-c", *command[3:]])

    monkeypatch.setattr(campaign, "_run", run)
    return found


def test_slices_go_on_behind_each_other_also_after_a_stop(
    planned: list[Task], tmp_path: Path
) -> None:
    planned.append(task("one"))
    first = Campaign(tmp_path)
    assert first.run_slice(planned[0])
    again = Campaign(tmp_path)
    assert again.run_slice(planned[0])
    record = again.state.records["one"]
    assert (record.done, record.acks, record.next_seed, record.failed) == (20, 40, 20, 0)


def test_who_had_least_of_its_share_is_next(planned: list[Task], tmp_path: Path) -> None:
    planned += [task("little", 1.0), task("much", 3.0), task("none", missing="root")]
    here = Campaign(tmp_path)
    here.state.records["little"].seconds_s = 10
    here.state.records["much"].seconds_s = 29
    chosen = here.next_task()
    assert chosen is planned[1]
    here.state.records["much"].seconds_s = 31
    assert here.next_task() is planned[0]


def test_nothing_is_next_where_nothing_can_be_run(planned: list[Task], tmp_path: Path) -> None:
    planned.append(task("none", missing="strace"))
    here = Campaign(tmp_path)
    assert here.next_task() is None
    assert "none" in here.report()
    assert "needs strace" in here.report()


def test_a_failure_is_kept_with_its_output_and_command(planned: list[Task], tmp_path: Path) -> None:
    planned.append(task("odd one", bad=(10,)))
    here = Campaign(tmp_path)
    assert here.run_slice(planned[0])
    assert not here.run_slice(planned[0])
    assert here.run_slice(planned[0])
    assert here.failed == 1
    assert (tmp_path / "failure-odd-one-1.txt").read_text() == "seed 10\n"
    assert "failure-odd-one-1.txt" in here.report()
    figures = here.figures()["tasks"]["odd one"]
    assert (figures["done"], figures["failed"], figures["acks"]) == (30, 1, 40)
    assert 1 / 30 < figures["upper_bound_95"] < 0.2


def test_a_slice_that_hangs_is_ended_with_everything_it_started(
    planned: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "SLICE_S", 0.5)
    code = "import subprocess, sys, time; subprocess.Popen(['sleep', '50']); time.sleep(50)"
    planned.append(Task("stuck", "runs", 1, 1.0, lambda *_: ["x", code]))
    here = Campaign(tmp_path)
    assert not here.run_slice(planned[0])
    assert "longer than" in (tmp_path / "failure-stuck-1.txt").read_text()


def test_the_program_works_until_its_time_is_over_and_reports(
    planned: list[Task], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned.append(task("one"))
    assert campaign.main(["--hours", "0.0001", "--state", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "one: well, 10 runs; 0 failures" in printed
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert report["tasks"]["one"]["done"] >= 10


def test_an_unknown_task_is_wrong_usage(planned: list[Task], tmp_path: Path) -> None:
    planned.append(task("one"))
    assert campaign.main(["nonsense", "--state", str(tmp_path)]) == 2


def test_the_real_tasks_name_programs_that_are_there() -> None:
    tasks = campaign.tasks()
    assert len({each.name for each in tasks}) == len(tasks) > 20
    for each in tasks:
        module = each.command(0, each.amount, "x")[0].replace(".", "/")
        root = campaign.ROOT
        assert (root / f"{module}.py").exists() or (root / module / "__main__.py").exists()
