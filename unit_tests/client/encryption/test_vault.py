"""The vault: its sessions do not grow without end, are given up, and only one key opens them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from jim.client.encryption.vault import (
    FALLBACK_MS,
    MAX_SESSIONS,
    ONE_TIME_KEYS,
    Vault,
    new_vault,
    pickle_key,
)
from jim.client.schema import open_database
from jim.crypto.device_keys import verify_key
from jim.crypto.keys import SigningKey, device_id
from jim.errors import CannotDecrypt

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from jim.client.encryption.vault import NewVault
    from jim.protocol.messages import Keys


class Owner:
    """A device with a vault, and what it knows of the other one."""

    def __init__(self, name: str, path: Path) -> None:
        self.key = SigningKey.generate()
        self.name, self.device = name, device_id(self.key.public)
        self.sql: sqlite3.Connection = open_database(path / f"{name}.db", create=True)
        self.new: NewVault = new_vault(self.key, self.device)
        Vault.begin(self.sql, self.new, 0)
        self.vault = Vault(self.sql, self.device, pickle_key(self.key))

    def begin(self, other: Owner) -> None:
        """Begin a session by the other one's fallback key."""
        keys = {other.device: (other.new.keys, other.new.fallback.key)}
        assert self.vault.begin_sessions(other.name, keys) == []

    def seal(self, other: Owner, text: bytes) -> str:
        return self.vault.seal(other.name, other.device, text)

    def open(self, other: Owner, ciphertext: str) -> bytes:
        return self.vault.open(other.name, other.device, other.new.keys, ciphertext)

    def sessions(self) -> int:
        count: int = self.sql.execute("SELECT count(*) FROM sessions").fetchone()[0]
        return count


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Owner, Owner]]:
    alice, bob = Owner("alice", tmp_path), Owner("bob", tmp_path)
    with contextlib.closing(alice.sql), contextlib.closing(bob.sql):
        yield alice, bob


def test_nothing_is_sealed_without_a_session(both: tuple[Owner, Owner]) -> None:
    alice, bob = both
    assert not alice.vault.can_seal(bob.name, bob.device)
    with pytest.raises(LookupError):
        alice.seal(bob, b"hi")


def test_a_key_of_nobody_does_not_keep_other_devices_from_a_session(
    both: tuple[Owner, Owner],
) -> None:
    alice, bob = both
    good = (bob.new.keys, bob.new.fallback.key)
    small_order = (bob.new.keys, bytes(32))
    keys = {"first": small_order, bob.device: good}
    assert alice.vault.begin_sessions("bob", keys) == ["first"]
    assert not alice.vault.can_seal("bob", "first")
    assert bob.open(alice, alice.seal(bob, b"hello")) == b"hello"


def test_what_opens_no_session_changes_nothing(both: tuple[Owner, Owner]) -> None:
    alice, bob = both
    alice.begin(bob)
    sealed = alice.seal(bob, b"hi")
    before = list(bob.sql.iterdump())
    for broken in (sealed[:-8] + "AAAAAAAA", "1m" + sealed[2:], "1pAAAA"):
        with pytest.raises(CannotDecrypt):
            bob.open(alice, broken)
    assert list(bob.sql.iterdump()) == before
    assert bob.open(alice, sealed) == b"hi"


def test_a_session_that_is_given_up_still_opens_but_seals_no_more(
    both: tuple[Owner, Owner],
) -> None:
    alice, bob = both
    alice.begin(bob)
    bob.open(alice, alice.seal(bob, b"one"))
    under_way = alice.seal(bob, b"under way")
    bob.vault.wedge(alice.name, alice.device)
    assert not bob.vault.can_seal(alice.name, alice.device)
    with pytest.raises(LookupError):
        bob.seal(alice, b"x")
    assert bob.open(alice, under_way) == b"under way"
    assert not bob.vault.can_seal(alice.name, alice.device), "opening does not mend it"
    bob.begin(alice)
    assert alice.open(bob, bob.seal(alice, b"anew")) == b"anew"


def test_only_the_last_sessions_of_a_device_are_kept(both: tuple[Owner, Owner]) -> None:
    alice, bob = both
    sealed = []
    for number in range(MAX_SESSIONS + 3):
        alice.vault.wedge(bob.name, bob.device)
        alice.begin(bob)
        sealed.append(alice.seal(bob, b"%d" % number))
        assert bob.open(alice, sealed[-1]) == b"%d" % number
    assert alice.sessions() == bob.sessions() == MAX_SESSIONS
    bob.begin(alice)
    assert bob.sessions() == MAX_SESSIONS


def test_another_key_opens_nothing(both: tuple[Owner, Owner]) -> None:
    alice, bob = both
    alice.begin(bob)
    stranger = Vault(alice.sql, alice.device, pickle_key(bob.key))
    for attempt in (stranger.account, lambda: stranger.seal(bob.name, bob.device, b"x")):
        with pytest.raises(CannotDecrypt) as raised:
            attempt()
        assert raised.value.fields["reason"] == "pickle"


def test_a_store_without_a_vault_has_no_keys(both: tuple[Owner, Owner]) -> None:
    alice, _ = both
    alice.sql.execute("DELETE FROM vault")
    assert alice.vault.offer(0, 0) is None
    assert Vault.fallback(alice.sql) is None
    with pytest.raises(CannotDecrypt):
        alice.vault.account()


def offered(owner: Owner, at_server: int, now_ms: int) -> Keys:
    keys = owner.vault.offer(at_server, now_ms)
    assert keys is not None
    for key in keys.one_time:
        verify_key(key, owner.device, owner.new.keys.ed)
    return keys


def test_keys_are_given_when_half_of_them_are_gone(both: tuple[Owner, Owner]) -> None:
    alice, _ = both
    assert alice.vault.offer(ONE_TIME_KEYS // 2, 0) is None
    keys = offered(alice, ONE_TIME_KEYS // 2 - 1, 0)
    assert len(keys.one_time) == ONE_TIME_KEYS // 2 + 1
    assert offered(alice, 0, 0) == keys, "the same again, until the server has them"
    alice.vault.offer_taken(keys)
    later = offered(alice, 0, 0)
    assert len(later.one_time) == ONE_TIME_KEYS
    assert later.one_time[0].id == keys.one_time[-1].id + 1
    assert not {key.key for key in later.one_time} & {key.key for key in keys.one_time}


@pytest.mark.parametrize("now_ms", [FALLBACK_MS, -1])
def test_a_fallback_key_is_renewed_also_if_the_clock_was_wrong(
    both: tuple[Owner, Owner], now_ms: int
) -> None:
    alice, _ = both
    keys = offered(alice, ONE_TIME_KEYS, now_ms)
    assert keys.fallback
    assert keys.fallback.key != alice.new.fallback.key
    assert Vault.fallback(alice.sql) == alice.new.fallback
    alice.vault.offer_taken(keys)
    assert Vault.fallback(alice.sql) == keys.fallback
    assert alice.vault.offer(ONE_TIME_KEYS, now_ms) is None
