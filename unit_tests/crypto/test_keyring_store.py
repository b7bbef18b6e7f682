from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import PasswordDeleteError

from jim.crypto import keyring_store
from jim.crypto.keys import SigningKey, short_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

PUBLIC = SigningKey(b"k" * 32).public
OTHER = SigningKey(b"o" * 32).public


class Memory(KeyringBackend):
    """A keyring that keeps what it is given."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("no such password")
        del self.kept[service, username]


class Broken(Memory):
    """A keyring that fails in its own way, with the secret in its words."""

    def get_password(self, service: str, username: str) -> str | None:
        raise OSError("the bus is gone: secret")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise SystemExit(f"cannot keep {password}")


class PlainText(Memory):
    """A keyring that keyring itself does not recommend."""

    priority = 0.5  # type: ignore[assignment]


@pytest.fixture
def memory() -> Iterator[Memory]:
    before = keyring.get_keyring()
    made = Memory()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


def nothing_to_be_had() -> None:
    assert keyring_store.get(PUBLIC) is None
    assert not keyring_store.put(PUBLIC, "secret")
    assert not keyring_store.delete(PUBLIC)


def test_a_passphrase_is_kept_under_the_fingerprint_and_forgotten(memory: Memory) -> None:
    assert keyring_store.get(PUBLIC) is None
    assert keyring_store.put(PUBLIC, "пароль")
    assert memory.kept == {("jim", short_fingerprint(PUBLIC)): "пароль"}
    assert keyring_store.get(PUBLIC) == "пароль"
    assert keyring_store.get(OTHER) is None
    assert not keyring_store.delete(OTHER)
    assert keyring_store.delete(PUBLIC)
    assert keyring_store.get(PUBLIC) is None


def test_without_the_package_there_is_no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    nothing_to_be_had()


def test_without_a_keyring_there_is_no_passphrase(memory: Memory) -> None:
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    nothing_to_be_had()
    assert memory.kept == {}


def test_a_broken_keyring_is_no_keyring_and_its_words_are_not_logged(
    memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    keyring.set_keyring(Broken())
    with caplog.at_level(logging.DEBUG):
        nothing_to_be_had()
    assert "OSError" in caplog.text
    assert "secret" not in caplog.text
    assert memory.kept == {}


def test_a_file_in_plain_text_is_no_keyring(memory: Memory) -> None:
    plain = PlainText()
    keyring.set_keyring(plain)
    nothing_to_be_had()
    assert plain.kept == memory.kept == {}


def test_a_keyring_that_hangs_does_not_stop_the_program(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()

    def hangs(_service: str, _user: str) -> str:
        go_on.wait(30)
        return "too late"

    monkeypatch.setattr(memory, "get_password", hangs)
    monkeypatch.setattr(keyring_store, "WAIT_S", 0.05)
    with caplog.at_level(logging.INFO):
        assert keyring_store.get(PUBLIC) is None
    assert "did not answer" in caplog.text
    go_on.set()


def test_importing_it_loads_no_keyring() -> None:
    import subprocess

    code = "import jim.crypto.keyring_store, sys; sys.exit('keyring' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
