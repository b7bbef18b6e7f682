"""Private files: their modes, and that they appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from jim.common import files

if TYPE_CHECKING:
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_directories_and_files_are_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    usual = os.umask(0)
    try:
        files.make_directory(tmp_path / "a" / "b")
        files.new_private(tmp_path / "a" / "b" / "file").close()
    finally:
        os.umask(usual)
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    assert mode(tmp_path / "a" / "b" / "file") == 0o600


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    before = mode(tmp_path)
    files.make_directory(tmp_path)
    assert mode(tmp_path) == before


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with files.appearing(path, replace=False) as file:
        file.write(b"half")
        assert not path.exists()
        file.write(b" whole")
    assert path.read_bytes() == b"half whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with contextlib.suppress(ZeroDivisionError), files.appearing(path, replace=True) as file:
        file.write(b"new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    with pytest.raises(FileExistsError), files.appearing(path, replace=False):
        pytest.fail("the work was begun in vain")
    with files.appearing(path, replace=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"), files.appearing(tmp_path / "x", replace=True):
        pass
    assert list(tmp_path.iterdir()) == []


def test_one_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(FileExistsError), files.appearing(path, replace=False):
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"


def test_without_hard_links_it_is_looked_before_the_name_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(type(tmp_path), "hardlink_to", refused)
    path, new = tmp_path / "file", tmp_path / "new"
    new.write_bytes(b"new")
    files.move_into_place(new, path, replace=False)
    assert path.read_bytes() == b"new"
    new.write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        files.move_into_place(new, path, replace=False)
