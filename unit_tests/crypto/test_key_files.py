from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jim.crypto import key_files
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners of POSIX")

SEED = bytes(range(32))
ROOT = sys.platform != "win32" and os.geteuid() == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "jim" / "identity.key"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextlib.contextmanager
def refused(reason: str) -> Iterator[list[str]]:
    says: list[str] = []
    with pytest.raises(KeyFileError) as caught:
        yield says
    assert caught.value.fields["reason"] == reason
    says.append(str(caught.value))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o277])
def test_modes_do_not_depend_on_the_umask(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        key_files.write_key(path, SEED)
    finally:
        os.umask(before)
    assert mode(path) & 0o077 == 0
    assert mode(path.parent) == mode(path.parent.parent) == 0o700


def test_a_written_key_is_0600_and_read_back(path: Path) -> None:
    key_files.write_key(path, SEED)
    assert mode(path) == 0o600
    assert key_files.read_key(path).seed == SEED


def test_nothing_is_left_beside_the_key(path: Path) -> None:
    key_files.write_key(path, SEED)
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.key"]


def test_a_key_is_never_overwritten(path: Path) -> None:
    key_files.write_key(path, SEED)
    with pytest.raises(FileExistsError):
        key_files.write_key(path, bytes(32))
    assert key_files.read_key(path).seed == SEED
    assert [entry.name for entry in path.parent.iterdir()] == ["identity.key"]


def test_a_key_is_never_overwritten_without_hard_links_either(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    key_files.write_key(path, SEED)
    with pytest.raises(FileExistsError):
        key_files.write_key(path, bytes(32))
    assert key_files.read_key(path).seed == SEED


def test_file_and_directory_are_synced_before_the_name_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((kind, path.exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    key_files.write_key(path, SEED)
    assert seen == [("file", False), ("directory", True)]


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_a_file_that_others_can_use_is_refused_with_the_fix(path: Path, bits: int) -> None:
    key_files.write_key(path, SEED)
    path.chmod(bits)
    with refused("permissions") as says:
        key_files.read_key(path)
    assert f"chmod 600 {path}" in says[0]
    subprocess.run(says[0].partition("to fix it: ")[2], shell=True, check=True)
    assert key_files.read_key(path).seed == SEED


def test_the_fix_is_quoted_for_the_shell(tmp_path: Path) -> None:
    path = tmp_path / "it's; a dir" / "a key"
    key_files.write_key(path, SEED)
    path.chmod(0o644)
    with refused("permissions") as says:
        key_files.read_key(path)
    subprocess.run(says[0].partition("to fix it: ")[2], shell=True, check=True)
    assert mode(path) == 0o600


@pytest.mark.parametrize("bits", [0o600, 0o400])
def test_a_file_of_ours_alone_is_accepted(path: Path, bits: int) -> None:
    key_files.write_key(path, SEED)
    path.chmod(bits)
    assert key_files.read_key(path).seed == SEED


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_a_file_of_somebody_else_is_refused(path: Path) -> None:
    key_files.write_key(path, SEED)
    os.chown(path, 12345, -1)
    with refused("owner") as says:
        key_files.read_key(path)
    assert f"chown 0 {path}" in says[0]


def test_the_owner_is_compared_with_who_we_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_files.write_key(path, SEED)
    us = os.geteuid()
    if us != 0:
        monkeypatch.setattr(os, "geteuid", lambda: us + 1)
        with pytest.raises(KeyFileError):
            key_files.read_key(path)
        return
    path.parent.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with refused("owner"):
        key_files.read_key(path)


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o1777])
def test_a_directory_where_others_can_write_is_refused(path: Path, bits: int) -> None:
    key_files.write_key(path, SEED)
    path.parent.chmod(bits)
    with refused("directory") as says:
        key_files.read_key(path)
    assert f"chmod 700 {path.parent}" in says[0]
    with refused("directory"):
        key_files.write_key(path.with_name("other.key"), SEED)


def test_a_directory_where_others_can_only_look_is_accepted(path: Path) -> None:
    key_files.write_key(path, SEED)
    path.parent.chmod(0o755)
    assert key_files.read_key(path).seed == SEED


def test_a_missing_key_says_so(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o700)
    with refused("missing"):
        key_files.read_key(path)


def test_a_missing_directory_says_so(path: Path) -> None:
    with refused("missing"):
        key_files.read_key(path)


GOOD = "jim-key-1 aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq "


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00" * 80,
        GOOD.encode(),
        (GOOD + "a" * 52).encode(),
        (GOOD.replace("jim-key-1", "jim-key-2") + "a" * 52).encode(),
        b"jim-key-1 a a\n",
        SEED,
    ],
)
def test_a_damaged_key_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    key_files.write_private(path, content)
    with refused("damaged"):
        key_files.read_key(path)
    with refused("damaged"):
        key_files.load_or_create(path)
    assert path.read_bytes() == content


def test_every_damaged_character_is_noticed(path: Path) -> None:
    key_files.write_key(path, SEED)
    text = path.read_text()
    for place in range(len(text) - 1):
        wrong = "b" if text[place] != "b" else "c"
        path.write_text(text[:place] + wrong + text[place + 1 :])
        with refused("damaged"):
            key_files.read_key(path)


def test_a_fifo_or_a_directory_instead_of_a_key_does_not_hang(path: Path) -> None:
    path.parent.mkdir(parents=True, mode=0o700)
    os.mkfifo(path, 0o600)
    with refused("damaged"):
        key_files.read_key(path)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(KeyFileError):
        key_files.read_key(path)


def test_a_link_is_judged_by_what_it_points_to(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere.key"
    key_files.write_key(target, SEED)
    path.parent.mkdir(parents=True, mode=0o700)
    path.symlink_to(target)
    assert key_files.read_key(path).seed == SEED
    target.chmod(0o644)
    with refused("permissions"):
        key_files.read_key(path)


def test_load_or_create_makes_one_key_and_keeps_it(path: Path) -> None:
    first = key_files.load_or_create(path)
    assert key_files.load_or_create(path).public == first.public


def test_load_or_create_of_many_at_once_agrees_on_one_key(path: Path) -> None:
    start = threading.Barrier(8)
    publics: list[bytes] = []

    def load() -> None:
        start.wait()
        publics.append(key_files.load_or_create(path).public)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(publics) == 8
    assert len(set(publics)) == 1


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    with refused("unwritable"):
        key_files.write_key(blocker / "jim" / "identity.key", SEED)


def test_a_failed_write_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refused("unwritable"):
        key_files.write_key(path, SEED)
    assert list(path.parent.iterdir()) == []


def test_replacing_is_atomic_and_private(path: Path) -> None:
    key_files.write_private(path, b"old")
    key_files.write_private(path, b"new", replace=True)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    with pytest.raises(FileExistsError):
        key_files.write_private(path, b"third")
