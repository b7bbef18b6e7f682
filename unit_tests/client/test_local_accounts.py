from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from jim.client.address import Address
from jim.client.known_servers import KnownServers
from jim.client.local_accounts import (
    account_directory,
    choose_account,
    default_data_dir,
    known_accounts,
)
from jim.crypto.keys import SigningKey
from jim.errors import AccountMissing

if TYPE_CHECKING:
    from pathlib import Path

SERVER = SigningKey(b"s" * 32).public
OTHER = SigningKey(b"o" * 32).public


def remember(data: Path, *addresses: str, server: bytes = SERVER) -> None:
    for address in addresses:
        KnownServers(data).remember(Address.parse(address), "pin", server)


def put(data: Path, name: str, server: bytes = SERVER) -> None:
    directory = account_directory(data, server, name)
    directory.mkdir(parents=True)
    (directory / "store.db").touch()


def test_the_one_account_there_is(tmp_path: Path) -> None:
    with pytest.raises(AccountMissing, match="no such"):
        choose_account(None, None, tmp_path)
    remember(tmp_path, "a.example", "b.example")
    put(tmp_path, "alice")
    (account,) = known_accounts(tmp_path)
    assert (str(account.address), account.name) == ("a.example:7777", "alice")
    assert choose_account(None, "Alice", tmp_path) == account
    assert choose_account(Address("b.example"), None, tmp_path) == account
    for address, name in ((Address("c.example"), None), (None, "bob")):
        with pytest.raises(AccountMissing):
            choose_account(address, name, tmp_path)


def test_several_accounts_want_a_choice(tmp_path: Path) -> None:
    remember(tmp_path, "a.example")
    remember(tmp_path, "z.example", server=OTHER)
    put(tmp_path, "alice")
    put(tmp_path, "bob")
    put(tmp_path, "alice", OTHER)
    with pytest.raises(AccountMissing, match=r"alice at a\.example:7777, bob at .*, alice at z"):
        choose_account(None, None, tmp_path)
    assert choose_account(None, "bob", tmp_path).name == "bob"
    assert str(choose_account(Address("z.example"), "alice", tmp_path).address) == "z.example:7777"


def test_where_everything_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_data_dir().name == "jim"
    monkeypatch.setenv("JIM_DATA_DIR", str(tmp_path))
    assert default_data_dir() == tmp_path


def test_what_never_became_an_account_is_passed_over(tmp_path: Path) -> None:
    remember(tmp_path, "a.example")
    for name, stage in (("alcie", "linking"), ("alica", "registering"), ("alice", "registered")):
        put(tmp_path, name)
        store = account_directory(tmp_path, SERVER, name) / "store.db"
        with contextlib.closing(sqlite3.connect(store)) as connection, connection:
            connection.execute("CREATE TABLE account (stage TEXT)")
            connection.execute("INSERT INTO account VALUES (?)", (stage,))
        # The only one is meant whatever it is: its own command says how it goes on.
        assert choose_account(None, name, tmp_path).name == name
    assert choose_account(None, None, tmp_path).name == "alice"
    put(tmp_path, "bob")  # a store that cannot be read counts
    with pytest.raises(AccountMissing, match=r"alice at .*, bob at"):
        choose_account(None, None, tmp_path)
