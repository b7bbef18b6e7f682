from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest

from jim.client.address import Address
from jim.client.cli import interactive
from jim.client.cli.accounts import target_of, usual_account
from jim.client.known_servers import KnownServers
from jim.client.local_accounts import account_directory
from jim.crypto.keys import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

HOME = SigningKey(b"s" * 32).public
WORK = SigningKey(b"o" * 32).public


def given(data: Path, address: str | None = None, port: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(data_dir=data, address=address, port=port)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Alice is at home and at work, bob at work."""
    for host, server, names in (("home", HOME, ["alice"]), ("work", WORK, ["alice", "bob"])):
        KnownServers(tmp_path).remember(Address(host), "pin", server)
        for name in names:
            directory = account_directory(tmp_path, server, name)
            directory.mkdir(parents=True)
            (directory / "store.db").touch()
    return tmp_path


@pytest.fixture(autouse=True)
def _no_server_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JIM_SERVER", raising=False)


def test_a_name_that_is_at_one_server_is_enough(data: Path) -> None:
    assert str(target_of(given(data), "Bob").address) == "work:7777"


@pytest.mark.parametrize("name", ["alice", "carol", "", "no name at all"])
def test_in_doubt_it_is_localhost(data: Path, name: str) -> None:
    assert str(target_of(given(data), name).address) == "localhost:7777"


def test_what_was_said_goes_before_what_is_known(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert str(target_of(given(data, "else", "9"), "bob").address) == "else:9"
    monkeypatch.setenv("JIM_SERVER", "there:8")
    assert str(target_of(given(data), "bob").address) == "there:8"


def test_somebody_is_usual_where_nobody_else_is(data: Path, tmp_path: Path) -> None:
    assert usual_account(given(data)) is None
    (account_directory(tmp_path, HOME, "alice") / "store.db").unlink()
    (account_directory(tmp_path, WORK, "alice") / "store.db").unlink()
    KnownServers(tmp_path).remember(Address("10.0.0.7"), "pin", WORK)
    for address, name in ((None, "bob"), ("10.0.0.7", "bob"), ("home", ""), ("elsewhere", "")):
        assert interactive._usual_name(given(data, address)) == name
