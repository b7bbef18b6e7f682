from __future__ import annotations

import pytest

from jim.client.address import Address


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("localhost", "localhost", 7777, "localhost:7777"),
        (" Jim.Example:80 ", "jim.example", 80, "jim.example:80"),
        ("10.0.0.1:1", "10.0.0.1", 1, "10.0.0.1:1"),
        ("::1", "::1", 7777, "[::1]:7777"),
        ("[::1]", "::1", 7777, "[::1]:7777"),
        ("[2001:DB8:0::1]:65535", "2001:db8::1", 65535, "[2001:db8::1]:65535"),
        ("fe80::1%eth0", "fe80::1%eth0", 7777, "[fe80::1%eth0]:7777"),
        ("сервер.рф", "сервер.рф", 7777, "сервер.рф:7777"),
    ],
)
def test_an_address_as_people_type_it(text: str, host: str, port: int, shown: str) -> None:
    address = Address.parse(text)
    assert (address.host, address.port, str(address)) == (host, port, shown)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ":", "host:", "host:0", "host:65536", "host:seven", "host:-1", "host:٧"),
        *("[::1", "[::1]7", "[::1]:", "a b", "a:b:c", "ho\x1bst", "[host:x]:1"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Address.parse(text)


def test_whose_name_an_authority_could_vouch_for() -> None:
    public = {host: Address(host).has_public_name for host in ("jim.example", "server")}
    local = [
        Address(host).has_public_name for host in ("::1", "10.0.0.1", "localhost", "a.localhost")
    ]
    assert all(public.values())
    assert not any(local)
