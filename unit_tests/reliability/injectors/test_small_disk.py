from __future__ import annotations

import os
from pathlib import Path

import pytest

from reliability.injectors.small_disk import FAILING_NEEDS, FailingDisk, TinyDisk
from reliability.injectors.system import missing

LACKING = missing(*FAILING_NEEDS)
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"needs {LACKING}")

KIB = 1024


def test_a_tiny_disk_fills_up_and_takes_more_when_it_has_grown(tmp_path: Path) -> None:
    with TinyDisk(tmp_path / "disk", 300 * KIB) as disk:
        assert disk.is_full() is False
        with pytest.raises(OSError, match="No space left"):
            (disk.place / "large").write_bytes(bytes(400 * KIB))
        assert disk.is_full() is True
        disk.resize(600 * KIB)
        assert disk.is_full() is False
        (disk.place / "large").write_bytes(bytes(400 * KIB))
    assert not (tmp_path / "disk" / "large").exists()


def test_shrinking_leaves_the_room_that_is_asked_for(tmp_path: Path) -> None:
    with TinyDisk(tmp_path / "disk", 1000 * KIB) as disk:
        (disk.place / "one").write_bytes(bytes(100 * KIB))
        disk.shrink_to_free(8 * KIB)
        assert disk.free_bytes == 8 * KIB
        assert disk.is_full() is False


def test_a_failing_disk_refuses_open_files_too_and_can_be_mended(tmp_path: Path) -> None:
    with FailingDisk(tmp_path / "disk", tmp_path / "image") as disk:
        with (disk.place / "kept").open("wb", buffering=0) as file:
            file.write(b"before")
            os.fsync(file)
            (disk.place / "lost").touch()
            disk.fail()
            assert disk.is_read_only() is True
            with pytest.raises(OSError, match="Read-only file system"):
                file.write(b"after")
        disk.mend()
        assert disk.is_read_only() is False
        assert (disk.place / "kept").read_bytes() == b"before"
        assert not (disk.place / "lost").exists()


def test_nothing_stays_mounted(tmp_path: Path) -> None:
    with pytest.raises(KeyError), TinyDisk(tmp_path / "tiny", 300 * KIB):
        raise KeyError
    with pytest.raises(KeyError), FailingDisk(tmp_path / "failing", tmp_path / "image"):
        raise KeyError
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
