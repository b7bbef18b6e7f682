"""The whole run, in small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from reliability.hostile import __main__ as program
from reliability.hostile.report import Report, Section

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.e2e
@pytest.mark.slow
def test_a_small_run_of_everything_is_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    arguments = ["--short", "--every", "240", "--fuzz-s", "0.5", "--quiet", "--json", str(path)]
    assert program.main(arguments) == 0, capsys.readouterr().out
    printed = capsys.readouterr().out
    assert "0 violations" in printed
    report = msgspec.json.decode(path.read_bytes(), type=Report)
    assert [section.name.split(",")[0] for section in report.sections] == [
        "codec",
        *["server"] * 5,
        "honest people meanwhile",
        "server",
        "client library",
        "client programs",
        "client library",
        *(f"fuzz {target}" for target in ("codec", "session", "sync")),
    ]
    assert all(section.cases for section in report.sections)
    honest = next(section for section in report.sections if "honest" in section.name)
    assert honest.answers["delivered"] >= 1_000


def test_a_violation_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Section("codec", cases=1)
    broken.violate("planted")

    def run(_options: object) -> Report:
        return Report(1.0, [broken])

    monkeypatch.setattr(program, "run", run)
    assert program.main(["--short"]) == 1
    assert "! planted" in capsys.readouterr().out


def test_the_help_names_the_fuzzer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--help"])
    assert "reliability.hostile.fuzz" in capsys.readouterr().out
