from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from reliability.faults.power_cut import FAULTS
from reliability.rig.disk import Disk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(FAULTS[0].missing()), reason=f"needs {FAULTS[0].missing()}"),
]


def write(path: Path, *, flushed: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x" * 5000)
    if flushed:
        os.fsync(descriptor)
    os.close(descriptor)


def test_a_cut_loses_what_was_not_flushed_and_nothing_else(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk:
        write(disk.path / "flushed", flushed=True)
        write(disk.path / "hoped", flushed=False)
        disk.cut()
        with pytest.raises(OSError, match="Input/output error"):
            write(disk.path / "late", flushed=False)
        disk.power_up()
        assert (disk.path / "flushed").read_bytes() == b"x" * 5000
        left = disk.path / "hoped"
        assert not left.exists() or left.read_bytes() != b"x" * 5000
        write(disk.path / "again", flushed=True)


def test_nothing_is_left_of_it_even_when_it_is_in_use(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk, (disk.path / "open").open("w") as file:
        disk.cut()
        assert file.fileno() > 0
        disk.remove()
        assert not os.path.ismount(disk.path)
    attached = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in attached


def test_it_goes_away_also_where_the_path_of_programs_lacks_those_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    with Disk(tmp_path / "home") as disk:
        monkeypatch.setenv("PATH", str(tmp_path))
        disk.remove()
        monkeypatch.undo()
        assert not os.path.ismount(disk.path)
