"""What must not be done for every message, because it takes longer than all the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim.client.encryption import vault
from unit_tests.client.encryption.post import Post, settle

if TYPE_CHECKING:
    from pathlib import Path

    from jim.crypto.suite import DeviceAccount


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pickles of which an account was made."""
    made: list[str] = []
    whole = vault.SUITE.account

    def account(pickle: str, key: bytes) -> DeviceAccount:
        made.append(pickle)
        return whole(pickle, key)

    monkeypatch.setattr(vault.SUITE, "account", account)
    return made


def test_only_what_changes_the_account_has_it_restored(tmp_path: Path, restored: list[str]) -> None:
    post = Post(tmp_path)
    anna, boris = post.join("anna"), post.join("boris")
    for device in (anna, boris):
        device.offer_keys()
    anna.send("boris", "one")
    boris.send("anna", "two")
    settle([anna, boris])
    anna.send("boris", "three")
    restored.clear()
    for number in range(5):
        anna.send("boris", f"more {number}")
        boris.receive()
    assert restored == []
