"""Files of ours: what somebody leaves behind who is killed, and what others could read."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from jim.client import private_files
from jim.client.accounts import Account
from jim.client.local_accounts import KEY_FILE, STORE_FILE
from jim.client.private_files import YOUNG_S, workplace
from jim.client.renewal import NEXT
from jim.client.schema import open_database

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")


def age(folder: Path) -> None:
    time_s = folder.stat().st_mtime - YOUNG_S - 1
    os.utime(folder, (time_s, time_s))


def left_behind(parent: Path) -> Path:
    """Make a workplace of somebody who was killed."""
    folder = parent / ".jim-0123456789abcdef"
    folder.mkdir()
    (folder / KEY_FILE).write_text("an open key")
    age(folder)
    return folder


def test_a_workplace_is_swept_only_when_nobody_works_there(tmp_path: Path) -> None:
    left = left_behind(tmp_path)
    with workplace(tmp_path) as used:
        age(used)
        young = tmp_path / ".jim-fedcba9876543210"
        young.mkdir()
        private_files.sweep(tmp_path)
        assert not left.exists()
        assert used.exists()
        assert young.exists()
    assert not used.exists()


def test_who_opens_an_account_sweeps_it(tmp_path: Path) -> None:
    place = tmp_path / "account"
    place.mkdir(mode=0o700)
    left = [place / f".{name}.0123456789abcdef.new" for name in (KEY_FILE, KEY_FILE + NEXT)]
    for each in left:
        each.write_text("an open key")
    left.append(left_behind(place))
    account = Account(place, "alice", "en")
    account.prepare(share=False)
    assert not any(each.exists() for each in left)
    assert account.is_owner
    account._lock.release()


def test_a_store_that_others_could_read_is_ours_alone_again(tmp_path: Path) -> None:
    path = tmp_path / STORE_FILE
    open_database(path, create=True).close()
    path.chmod(0o644)
    wal = path.with_name(f"{path.name}-wal")
    wal.touch(mode=0o644)
    wal.chmod(0o644)
    connection = open_database(path, create=True)
    modes = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.glob(f"{STORE_FILE}*")}
    assert modes == {0o600}
    connection.close()
