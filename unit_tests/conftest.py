"""What every test gets: a home of its own, no settings from outside, English texts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import nacl.pwhash.argon2id as kdf
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import settings

from jim import i18n
from jim.crypto import passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A busy machine is no failure: the time-out of each test bounds its time, not that of an example.
settings.register_profile("jim", deadline=None, print_blob=True)
settings.load_profile("jim")

_FOREIGN_PREFIXES = ("JIM_", "XDG_", "LC_")
_FOREIGN = ("LANG", "LANGUAGE", "TMUX", "TMUX_PANE", "NO_COLOR", "HOME")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test, and every process that it starts, an empty home and a clean environment."""
    directory = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name in _FOREIGN:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(directory))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name, place in {
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
        "XDG_STATE_HOME": ".local/state",
        "XDG_CACHE_HOME": ".cache",
    }.items():
        monkeypatch.setenv(name, str(directory / place))
    monkeypatch.setenv("JIM_LOG_DIR", str(directory / "log"))
    return directory


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Run the test in English, whatever language the test before it has set."""
    i18n.set_language("en")
    yield
    i18n.set_language("en")


@pytest.fixture
def cheap_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a key be sealed in a millisecond: what it costs in earnest stands in the file."""
    monkeypatch.setattr(passphrase, "OPERATIONS", kdf.OPSLIMIT_MIN)
    monkeypatch.setattr(passphrase, "MEMORY_BYTES", kdf.MEMLIMIT_MIN)


@pytest.fixture
def no_blocking_calls() -> Iterator[None]:
    """Fail the test when code of JIM blocks the event loop: disk, locks, DNS, sleep."""
    with blockbuster_ctx("jim"):
        yield
