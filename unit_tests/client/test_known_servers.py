from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from jim.client.address import Address
from jim.client.known_servers import KnownServer, KnownServers
from jim.crypto.keys import SigningKey, format_pin
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from pathlib import Path

SERVER = SigningKey(b"s" * 32).public
OTHER = SigningKey(b"o" * 32).public


def test_a_server_is_remembered_as_a_readable_line(tmp_path: Path) -> None:
    servers = KnownServers(tmp_path)
    assert servers.all() == []
    servers.remember(Address("::1", 9), "ca", SERVER)
    assert (tmp_path / "known_servers").read_text() == f"[::1]:9 ca {format_pin(SERVER)}\n"
    assert servers.find(Address("0:0::1", 9)) == KnownServer("[::1]:9", "ca", SERVER)


def test_what_is_known_never_becomes_weaker(tmp_path: Path) -> None:
    servers, address = KnownServers(tmp_path), Address("jim.example")
    servers.remember(address, "pin", SERVER)
    servers.remember(address, "ca", OTHER)
    assert servers.all() == [KnownServer("jim.example:7777", "pin", SERVER)]
    servers.remember(address, "ca", SERVER)
    servers.remember(address, "pin", SERVER)
    assert servers.all() == [KnownServer("jim.example:7777", "ca", SERVER)]


def test_people_may_write_comments_into_it(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    path.write_text(f"# at home\n\nhome:1 pin {format_pin(SERVER).upper()}\n")
    path.chmod(0o600)
    assert [known.server_id for known in KnownServers(tmp_path).all()] == [SERVER]


@pytest.mark.parametrize("line", ["host:1 pin", "host:1 tofu aaaa", "host:1 pin aaaa", "x"])
def test_a_damaged_line_is_shown(tmp_path: Path, line: str) -> None:
    path = tmp_path / "known_servers"
    path.write_text(line + "\n")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="damaged"):
        KnownServers(tmp_path).all()


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known_servers"
    path.touch(mode=0o600)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod"):
        KnownServers(tmp_path).all()


def test_servers_met_at_the_same_time_are_all_remembered(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda port: KnownServers(tmp_path).remember(
                    Address("jim.example", port), "pin", SERVER
                ),
                range(1, 41),
            )
        )
    assert len(KnownServers(tmp_path).all()) == 40
