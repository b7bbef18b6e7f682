"""Keys that a passphrase seals, and where passphrases come from."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from jim.client.cli import unlocking
from jim.client.console.explain import Exit, exit_code, explain
from jim.client.key_opener import KeyOpener
from jim.crypto import key_files, keyring_store
from jim.crypto.keys import SigningKey
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("cheap_passphrases")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    path = tmp_path / "device.key"
    key_files.write_key(path, SigningKey.generate().seed)
    key_files.protect(path, "open sesame")
    return path


def test_sources_are_asked_in_turn_until_one_opens_and_only_once(sealed: Path) -> None:
    asked: list[str] = []

    def source(*words: str) -> object:
        def give(public: bytes) -> Iterator[str]:
            assert public == key_files.public_key(sealed)[0]
            for word in words:
                asked.append(word)
                yield word

        return give

    opener = KeyOpener([source("wrong")])  # type: ignore[list-item]
    with pytest.raises(KeyFileError) as caught:
        opener.read(sealed)
    assert caught.value.fields["reason"] == "passphrase"
    more = [source("open sesame", "never asked")]
    key = opener.read(sealed, more)  # type: ignore[arg-type]
    assert opener.read(sealed) is key, "it is remembered"
    assert asked == ["wrong", "wrong", "open sesame"]


def test_without_a_source_it_stays_locked(sealed: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        KeyOpener().read(sealed)
    assert caught.value.fields["reason"] == "locked"
    assert exit_code(caught.value) is Exit.AUTH
    assert "JIM_PASSPHRASE_FILE" in explain(caught.value)


def test_the_next_key_is_sealed_like_the_last_that_was_read(sealed: Path) -> None:
    following = sealed.with_name("device.key.next")
    opener = KeyOpener([lambda _: iter(["open sesame"])])
    opener.read(sealed)
    key = opener.read_or_make(following)
    assert key_files.public_key(following) == (key.public, True)
    assert opener.read_or_make(following).public == key.public
    assert key_files.read_key(following, lambda: "open sesame").seed == key.seed
    plain = KeyOpener().read_or_make(sealed.with_name("other.key"))
    assert key_files.public_key(sealed.with_name("other.key")) == (plain.public, False)


def test_other_faults_of_the_file_are_not_taken_for_a_wrong_passphrase(sealed: Path) -> None:
    sealed.chmod(0o644)
    with pytest.raises(KeyFileError) as caught:
        KeyOpener([lambda _: iter(["open sesame"])]).read(sealed)
    assert caught.value.fields["reason"] == "permissions"
    assert exit_code(caught.value) is Exit.FAILURE


def test_the_keyring_comes_first_and_a_file_next(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = key_files.public_key(sealed)[0]
    file = sealed.with_name("secret")
    file.write_bytes("пароль\r\n".encode())
    file.chmod(0o600)
    monkeypatch.setattr(keyring_store, "get", {public: "from the keyring"}.get)
    monkeypatch.setenv("JIM_PASSPHRASE_FILE", str(file))
    assert list(unlocking.from_keyring(public)) == ["from the keyring"]
    assert list(unlocking.from_keyring(bytes(32))) == []
    assert list(unlocking.from_file(public)) == ["пароль"]
    monkeypatch.delenv("JIM_PASSPHRASE_FILE")
    assert list(unlocking.from_file(public)) == []
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(KeyFileError):
        unlocking.read_passphrase(file)


def test_whether_anything_is_sealed_is_seen_without_opening_it(tmp_path: Path) -> None:
    options = argparse.Namespace(data_dir=tmp_path)
    place = tmp_path / "accounts" / "server" / "alice"
    key_files.write_key(place / "device.key", SigningKey.generate().seed)
    assert not unlocking._has_sealed(options)
    key_files.protect(place / "device.key", "open sesame")
    assert unlocking._has_sealed(options)


def test_a_terminal_is_asked_three_times_and_nobody_not_at_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unlocking, "ask", lambda _: "typed")
    assert list(unlocking.from_terminal(b"")) == ["typed"] * unlocking.TRIES
    assert capsys.readouterr().err.count("not the passphrase") == unlocking.TRIES - 1
    monkeypatch.setattr(unlocking, "ask", lambda _: None)
    assert list(unlocking.from_terminal(b"")) == []
    assert unlocking.ask_new("?") is None
