"""Logs of a checkout stay in it; those of an installed program go to the user's state."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

import jim
from jim.log_config import directory
from jim.log_config.directory import default_directory, prepare_directory


def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JIM_LOG_DIR", str(tmp_path / "x"))
    assert default_directory() == tmp_path / "x"


def test_a_checkout_logs_into_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JIM_LOG_DIR")
    package = tmp_path / "jim" / "log_config" / "directory.py"
    monkeypatch.setattr(directory, "__file__", str(package))
    for name in ("pyproject.toml", "my_server.py"):
        (tmp_path / name).touch()
    assert default_directory() == tmp_path / "log"


def test_an_installed_program_logs_into_the_state_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    monkeypatch.delenv("JIM_LOG_DIR")
    monkeypatch.setattr(directory, "__file__", str(tmp_path / "jim" / "log_config" / "x.py"))
    assert default_directory() == home / ".local" / "state" / "jim" / "log"


def test_this_checkout_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JIM_LOG_DIR")
    root = Path(jim.__file__).parents[1]
    if not (root / "my_server.py").exists():
        pytest.skip("not run from a checkout")
    assert default_directory() == root / "log"


def test_a_new_directory_is_private_and_an_old_one_stays_as_it_is(tmp_path: Path) -> None:
    prepare_directory(tmp_path / "a" / "b")
    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (tmp_path / "a").chmod(0o755)
    prepare_directory(tmp_path / "a")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        prepare_directory(tmp_path / "file")
    with pytest.raises(OSError, match="directory"):
        prepare_directory(tmp_path / "file" / "below")
