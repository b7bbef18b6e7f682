from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.errors import StoreLocked, StoreUnwritable
from jim.storage.lock_file import LockFile

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from jim.storage.lock_file import LockFile
LockFile(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_the_second_one_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    first, second = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    first.acquire()
    with pytest.raises(StoreLocked) as caught:
        second.acquire()
    assert caught.value.fields["pid"] == os.getpid()
    assert str(tmp_path) in str(caught.value)
    assert str(os.getpid()) in str(caught.value)
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreLocked) as caught:
            LockFile(path).acquire()
        assert caught.value.fields["pid"] == holder.pid
        holder.kill()
    lock = LockFile(path)
    lock.acquire()
    lock.release()


def test_a_holder_that_left_no_number_is_unknown(tmp_path: Path) -> None:
    first = LockFile(tmp_path / "lock")
    first.acquire()
    (tmp_path / "lock").write_bytes(b"")
    with pytest.raises(StoreLocked, match="pid unknown"):
        LockFile(tmp_path / "lock").acquire()
    first.release()


def test_a_directory_that_is_none_is_unwritable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnwritable, match="cannot write"):
        LockFile(tmp_path / "file" / "lock").acquire()
