"""The address of a server as people type it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from jim.common.constants import DEFAULT_HOST, DEFAULT_PORT

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """Host (name in lower case, or IP address without brackets) and TCP port of a server."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        """Bring the host into its usual form.

        Raises:
            ValueError: there is no host, it has white space in it, or the port is none.
        """
        host = self.host.strip().lower()
        if not host or any(sign.isspace() or not sign.isprintable() for sign in host):
            raise ValueError(f"{self.host!r} is no host")
        if not 1 <= self.port <= _MAX_PORT:
            raise ValueError(f"{self.port} is no port: 1 to {_MAX_PORT}")
        object.__setattr__(self, "host", _usual_form(host))

    @classmethod
    def parse(cls, text: str, default_port: int = DEFAULT_PORT) -> Address:
        """Read `host`, `host:port`, `[IPv6]:port` or a bare IPv6 address.

        Raises:
            ValueError: it is none of them.
        """
        text = text.strip()
        if text.startswith("["):
            host, closed, rest = text[1:].partition("]")
            if not closed or (rest and not rest.startswith(":")):
                raise ValueError(f"{text!r} is no address")
            return cls(host, _port(rest[1:]) if rest else default_port)
        if text.count(":") != 1:
            return cls(text, default_port)
        host, _, port = text.partition(":")
        return cls(host, _port(port))

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address."""
        return _is_ip(self.host)

    @property
    def has_public_name(self) -> bool:
        """Whether an authority could vouch for the host: it has a name, and not localhost."""
        local = self.host == "localhost" or self.host.endswith(".localhost")
        return not self.is_ip and not local

    def __str__(self) -> str:
        """Give `host:port`, IPv6 in brackets: also the key under which servers are remembered."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ValueError(f"{text!r} is no port: 1 to {_MAX_PORT}")
    return int(text)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _usual_form(host: str) -> str:
    if not _is_ip(host):
        if ":" in host:
            raise ValueError(f"{host!r} is no host")
        return host
    address, zone, name = host.partition("%")
    return str(ipaddress.ip_address(address)) + zone + name
