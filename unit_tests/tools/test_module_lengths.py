"""A long module is named, and needs a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import module_lengths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "jim").mkdir()
    return tmp_path


def test_four_hundred_lines_are_allowed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "jim" / "a.py").write_text("x = 1\n" * 400)
    assert module_lengths.main(root) == 0
    assert capsys.readouterr().out == ""


def test_more_are_not(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "jim" / "a.py").write_text("x = 1\n" * 401)
    assert module_lengths.main(root) == 1
    assert "a.py: 401 lines: no reason given" in capsys.readouterr().out


def test_a_reason_at_the_top_lets_it_pass(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "jim" / "a.py").write_text("# long module: one table\n" + "x = 1\n" * 400)
    assert module_lengths.main(root) == 0
    assert "401 lines: one table" in capsys.readouterr().out


def test_a_reason_further_down_does_not(root: Path) -> None:
    (root / "jim" / "a.py").write_text("x = 1\n" * 400 + "# long module: one table\n")
    assert module_lengths.main(root) == 1
