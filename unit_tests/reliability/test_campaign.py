"""Campaigns: shares of the time, going on after a stop, failures kept, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from reliability import campaign
from reliability.campaign import ROOT, STATE, Campaign
from reliability.faults import __main__ as faults
from reliability.faults.model import Fault, Result
from reliability.hostile.fuzz import driver
from reliability.tasks import Done, Task, tasks

if TYPE_CHECKING:
    from pathlib import Path

WORK = """
import json, sys
seed, amount, file = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
bad = int(seed in BAD)
open(file, "w").write(json.dumps({"runs": amount, "acks": amount * 2, "failures": bad}))
print("seed", seed)
sys.exit(bad)
"""


def task(name: str, share: float = 1.0, bad: tuple[int, ...] = (), missing: str = "") -> Task:
    code = WORK.replace("BAD", repr(bad))

    def command(seed: int, amount: int, file: str) -> list[str]:
        return ["reliability_slice", code, str(seed), str(amount), file]

    return Task(name, "runs", 10, share, command, lambda result: Done(**result), missing)


def odd(name: str, code: str) -> Task:
    """A task whose slices run something else; `FILE` in it is where they should report."""

    def command(_seed: int, _amount: int, file: str) -> list[str]:
        return ["reliability_slice", code.replace("FILE", repr(file))]

    return Task(name, "runs", 10, 1.0, command, lambda result: Done(**result))


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    found: list[Task] = []
    monkeypatch.setattr(campaign, "tasks", lambda: found)
    real = campaign._run

    def run(command: list[str]) -> tuple[int | None, str]:
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
    assert (figures["done"], figures["failed"], figures["acks"]) == (30, 1, 60)
    assert 1 / 30 < figures["upper_bound_95"] < 0.2


def test_a_slice_that_hangs_is_ended_with_everything_it_started(
    planned: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "SLICE_S", 0.5)
    code = (
        "import subprocess, time; print('begun', flush=True);"
        "subprocess.Popen(['sleep', '50']); time.sleep(50)"
    )
    planned.append(odd("stuck", code))
    here = Campaign(tmp_path)
    assert not here.run_slice(planned[0])
    kept = (tmp_path / "failure-stuck-1.txt").read_text()
    assert "begun" in kept
    assert "longer than" in kept
    record = here.state.records["stuck"]
    assert (record.done, record.failed, record.timed_out, here.failed) == (0, 0, 1, 1)
    assert "timed out" in here.report()


@pytest.mark.parametrize(
    "code",
    [
        "import no_such_module",
        "pass",
        "open(FILE, 'w').write('{\"runs\": 1')",
        "open(FILE, 'w').write('{\"runs\": 10, \"acks\": 9}'); raise SystemExit(1)",
    ],
    ids=["crashed", "silent", "torn", "said that it proves nothing"],
)
def test_what_was_not_done_does_not_count(planned: list[Task], tmp_path: Path, code: str) -> None:
    planned.append(odd("idle", code))
    here = Campaign(tmp_path)
    assert not here.run_slice(planned[0])
    record = here.state.records["idle"]
    assert (record.done, record.acks, record.failed) == (0, 0, 1)
    assert here.figures()["tasks"]["idle"]["upper_bound_95"] is None


def test_runs_and_failures_are_counted_as_they_are_reported(
    planned: list[Task], tmp_path: Path
) -> None:
    code = "open(FILE, 'w').write('{\"runs\": 7, \"failures\": 2}'); raise SystemExit(1)"
    planned.append(odd("short", code))
    here = Campaign(tmp_path)
    assert not here.run_slice(planned[0])
    record = here.state.records["short"]
    assert (record.done, record.failed, record.next_seed) == (7, 2, 10)


def test_the_program_works_until_its_time_is_over_and_reports(
    planned: list[Task], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned.append(task("one"))
    assert campaign.main(["--hours", "0.0001", "--state", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "one: well, 10 runs; 0 failures" in printed
    report: dict[str, Any] = json.loads((tmp_path / "report.json").read_text())
    assert report["tasks"]["one"]["done"] >= 10


def test_it_can_be_started_from_anywhere(
    planned: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planned.append(task("one"))
    campaign.main(["--hours", "0.0001", "--state", "here"])
    report = json.loads((tmp_path / "here" / "report.json").read_text())
    assert report["tasks"]["one"]["acks"] >= 20


@pytest.mark.parametrize("words", [["--list"], ["nonsense"], ["nonsense", "--list"]])
def test_asking_leaves_nothing_behind(
    planned: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    planned.append(task("one"))
    assert campaign.main(words) == (2 if "nonsense" in words else 0)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", '{"seconds_s": 1.0, "reco', '{"records": 5}'])
def test_a_state_that_cannot_be_read_is_wrong_usage_and_kept(
    planned: list[Task], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    planned.append(task("one"))
    (tmp_path / STATE).write_text(content)
    assert campaign.main(["--state", str(tmp_path)]) == 2
    assert "cannot go on" in capsys.readouterr().err
    assert (tmp_path / STATE).read_text() == content
    assert campaign.main(["--state", str(tmp_path / STATE)]) == 2


def test_the_real_tasks_name_programs_that_are_there() -> None:
    real = tasks()
    assert len({each.name for each in real}) == len(real) > 20
    for each in real:
        module = each.command(0, each.amount, "x")[0].replace(".", "/")
        assert (ROOT / f"{module}.py").exists() or (ROOT / module / "__main__.py").exists()


ENGINES = [["--engine", "mutation"], *([["--engine", "atheris"]] if driver.has_atheris() else [])]


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "amount", "flags"),
    [
        ("simulated core", 30, []),
        ("virtual loop", 2, []),
        *(("fuzz codec", 300, engine) for engine in ENGINES),
    ],
)
def test_what_the_real_programs_report_is_understood(
    tmp_path: Path, name: str, amount: int, flags: list[str]
) -> None:
    one = next(each for each in tasks() if each.name == name)
    command = one.command(1, amount, str(tmp_path / "report.json"))
    subprocess.run(
        [sys.executable, "-m", *command, *flags], cwd=ROOT, check=True, capture_output=True
    )
    done = one.read(json.loads((tmp_path / "report.json").read_bytes()))
    assert (done.runs, done.failures) == (amount, 0)
    assert done.acks > 0 or "fuzz" in name


@pytest.mark.parametrize(("violations", "failures"), [([], 0), (["lost: one", "lost: two"], 1)])
def test_what_a_fault_reports_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, violations: list[str], failures: int
) -> None:
    result = Result(cycles=4, acks=9, fired=4, violations=violations)
    kill = Fault(name="kill", description="for a test", run=lambda *_: result)
    monkeypatch.setattr(faults, "load", lambda: {"kill": kill})
    file = tmp_path / "report.json"
    faults.main(["kill", "--directory", str(tmp_path / "runs"), "--json", str(file)])
    one = next(each for each in tasks() if each.name == "kill")
    assert one.read(json.loads(file.read_bytes())) == Done(4, 9, failures)
