from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from reliability.faults import __main__ as command
from reliability.faults import registry
from reliability.faults.model import Fault, Result
from reliability.faults.registry import MODULES, load

if TYPE_CHECKING:
    from pathlib import Path


def fault(result: Result | Exception, *needs: str) -> Fault:
    def run(cycles: int, seed: int, directory: Path, report: object) -> Result:
        (directory / "made").write_text(f"{cycles} {seed} {report}")
        if isinstance(result, Exception):
            raise result
        return result

    return Fault(name="invented", description="for a test", run=run, needs=needs)


def invoke(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: Fault, *flags: str
) -> tuple[int, Path]:
    monkeypatch.setattr(command, "load", lambda: {"invented": chosen})
    base = tmp_path / "runs"
    return command.main(["--seed", "1", "--directory", str(base), *flags]), base


def test_every_module_has_its_row_and_every_fault_its_name() -> None:
    faults = load()
    assert {"power_cut", "power_cut_client", "kill", "write_points", "client_write_points"} <= set(
        faults
    )
    assert {"fsync_eio", "write_eio", "write_enospc", "slow_disk"} <= set(faults)
    assert len(set(MODULES)) == len(MODULES)
    assert all(found.description and found.short >= 0 for found in faults.values())
    assert [name for name, found in faults.items() if not found.short] == ["proxy_silence"]


def test_a_module_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MODULES", (*MODULES, "no_such_module"))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        load()


def test_a_good_run_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = fault(Result(cycles=3, acks=7, fired=3))
    status, base = invoke(monkeypatch, tmp_path, good, "--json", str(tmp_path / "out.json"))
    assert status == 0
    assert not base.exists()
    assert "invented" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["invented"]["acks"] == 7


def test_a_violation_is_a_failure_and_says_how_to_see_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = fault(Result(cycles=1, fired=1, violations=["lost: one"], kept="there"))
    status, base = invoke(monkeypatch, tmp_path, bad, "--cycles", "5")
    assert status == 1
    assert (base / "invented" / "made").exists()
    out = capsys.readouterr().out
    assert "lost: one" in out
    assert "python -m reliability.faults invented --cycles 5 --seed 1" in out


@pytest.mark.parametrize("result", [Result(cycles=1), RuntimeError("no disk")])
def test_a_run_that_proves_nothing_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Result | Exception
) -> None:
    status, _ = invoke(monkeypatch, tmp_path, fault(result))
    assert status == 1


@pytest.mark.parametrize(("flags", "expected"), [((), 0), (("--require-all",), 1)])
def test_what_is_missing_is_named_and_counts_if_all_is_required(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    expected: int,
) -> None:
    absent = fault(Result(fired=1), "no-such-program")
    status, _ = invoke(monkeypatch, tmp_path, absent, *flags)
    assert status == expected
    assert "skipped: needs no-such-program" in capsys.readouterr().out


def test_a_fault_that_was_named_and_cannot_be_run_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    status, _ = invoke(monkeypatch, tmp_path, fault(Result(fired=1), "no-such-program"), "invented")
    assert status == 1


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_what_somebody_else_keeps_is_not_removed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
) -> None:
    foreign = tmp_path / "runs" / "invented" / "photographs"
    foreign.mkdir(parents=True)
    status, _ = invoke(monkeypatch, tmp_path, fault(Result(cycles=1, fired=1)), *flags)
    assert status == 2
    assert foreign.is_dir()
    assert "not empty" in capsys.readouterr().err


def test_what_an_earlier_run_has_left_is_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = fault(Result(cycles=1, fired=1, violations=["lost: one"]))
    status, base = invoke(monkeypatch, tmp_path, bad)
    assert (status, (base / "invented" / "made").exists()) == (1, True)
    status, _ = invoke(monkeypatch, tmp_path, fault(Result(cycles=1, fired=1)))
    assert (status, base.exists()) == (0, False)


def test_a_file_is_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    status, _ = invoke(monkeypatch, tmp_path, fault(Result(cycles=1, fired=1)))
    assert status == 2


def test_an_unknown_fault_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    status, _ = invoke(monkeypatch, tmp_path, fault(Result(fired=1)), "other")
    assert status == 2


def test_what_this_machine_lacks_of_a_faults_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert fault(Result(), "root", "sh").missing() == "root"
    assert fault(Result()).missing() == ""
