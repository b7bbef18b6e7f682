from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from jim.crypto import key_files, passphrase
from jim.crypto.keys import SigningKey
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.usefixtures("cheap_passphrases"),
    pytest.mark.skipif(sys.platform == "win32", reason="modes and owners of POSIX"),
]

SEED = bytes(range(32))
PUBLIC = SigningKey(SEED).public


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "jim" / "device.key"
    key_files.write_key(path, SEED)
    return path


@contextlib.contextmanager
def refused(reason: str) -> Iterator[None]:
    with pytest.raises(KeyFileError) as caught:
        yield
    assert caught.value.fields["reason"] == reason


def never() -> str:
    raise AssertionError("nobody is asked here")


def test_a_sealed_key_is_read_with_its_passphrase_alone(path: Path) -> None:
    key_files.protect(path, "correct")
    asked: list[None] = []

    def ask() -> str:
        asked.append(None)
        return "correct"

    assert key_files.read_key(path, ask).seed == SEED
    assert key_files.load_or_create(path, ask).seed == SEED
    assert len(asked) == 2
    with refused("passphrase"):
        key_files.read_key(path, lambda: "wrong")
    for read in (key_files.read_key, key_files.load_or_create):
        with refused("locked"):
            read(path)


def test_nobody_is_asked_for_a_key_that_is_not_sealed_or_damaged_or_open_to_others(
    path: Path,
) -> None:
    assert key_files.read_key(path, never).seed == SEED
    key_files.protect(path, "correct")
    path.chmod(0o640)
    with refused("permissions"):
        key_files.read_key(path, never)
    path.chmod(0o600)
    path.write_text(path.read_text().replace("argon2id 1", "argon2id 2"))
    with refused("damaged"):
        key_files.read_key(path, never)


def test_the_file_is_replaced_at_once_private_and_durably(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.stat().st_ino
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    key_files.protect(path, "correct")
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert synced == ["file", "directory"]
    assert [entry.name for entry in path.parent.iterdir()] == ["device.key"]


def test_a_failed_write_leaves_the_key_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refused("unwritable"):
        key_files.protect(path, "correct")
    monkeypatch.undo()
    assert key_files.read_key(path).seed == SEED
    assert [entry.name for entry in path.parent.iterdir()] == ["device.key"]


def test_the_seed_is_not_in_the_file_any_more(path: Path) -> None:
    plain = path.read_text().split()
    key_files.protect(path, "correct")
    assert plain[1] not in path.read_text()
    assert plain[2] in path.read_text()


def test_the_public_key_of_a_sealed_file_is_read_without_asking(path: Path) -> None:
    assert key_files.public_key(path) == (PUBLIC, False)
    key_files.protect(path, "correct")
    assert key_files.public_key(path) == (PUBLIC, True)


def test_a_passphrase_is_changed_without_a_plain_file_in_between(path: Path) -> None:
    key_files.protect(path, "old")
    with refused("locked"):
        key_files.protect(path, "new")
    with refused("passphrase"):
        key_files.protect(path, "new", lambda: "wrong")
    key_files.protect(path, "new", lambda: "old")
    assert key_files.read_key(path, lambda: "new").seed == SEED


def test_an_empty_passphrase_protects_nothing(path: Path) -> None:
    with refused("empty"):
        key_files.protect(path, "")
    assert key_files.read_key(path).seed == SEED


def test_a_passphrase_is_taken_away_by_who_knows_it(path: Path) -> None:
    plain = path.read_bytes()
    key_files.unprotect(path, "there is none")
    assert path.read_bytes() == plain
    key_files.protect(path, "correct")
    with refused("passphrase"):
        key_files.unprotect(path, "wrong")
    key_files.unprotect(path, "correct")
    assert path.read_bytes() == plain
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_behind_a_link_is_sealed_where_it_is(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "jim" / "link.key"
    link.symlink_to(path)
    key_files.protect(link, "correct")
    assert link.is_symlink()
    assert key_files.public_key(path) == (PUBLIC, True)


def test_too_little_memory_is_said_as_such(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key_files.protect(path, "correct")

    def fails(*_arguments: object) -> bytes:
        raise MemoryError("Argon2id needs 256 MiB")

    monkeypatch.setattr(passphrase, "_derive", fails)
    with refused("memory"):
        key_files.read_key(path, lambda: "correct")
    with refused("memory"):
        key_files.unprotect(path, "correct")


def test_what_is_derived_of_a_sealed_key_is_what_it_was_before(path: Path) -> None:
    before = key_files.read_key(path).derive("store")
    key_files.protect(path, "correct")
    assert key_files.read_key(path, lambda: "correct").derive("store") == before


def test_what_a_killed_writer_has_left_holds_no_open_key(path: Path) -> None:
    """It died between giving the key its name and taking the temporary one away."""
    left = path.with_name(f".{path.name}.0123456789abcdef.new")
    others = [path.with_name(name) for name in (f".{path.name}.new.0123456789abcdef.new", "x.new")]
    left.hardlink_to(path)
    for other in others:
        other.write_bytes(b"of somebody else")
    key_files.protect(path, "correct")
    assert not left.exists()
    assert all(other.exists() for other in others)
    assert path.stat().st_nlink == 1
