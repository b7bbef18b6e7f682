"""Invites: one line that carries where the server is, who it is, and the right to register.

jim://HOST:PORT/PIN/TOKEN - the pin is the server's whole identity key, so a newcomer trusts nobody
on the way; the token is a secret, and the server stores only its hash. Every character passes a
POSIX shell unquoted, except that zsh takes the brackets of an IPv6 host for a pattern.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import unicodedata
from typing import Final, NamedTuple

from jim.crypto import base32
from jim.crypto.keys import format_pin, parse_pin
from jim.errors import InviteMalformed

SCHEME: Final = "jim://"

TOKEN_CHARACTERS: Final = 26
"""130 random bits: guessing is hopeless at any rate."""

MAX_HOST: Final = 253
"""Characters of a host name (RFC 1035, 2.3.4, as text)."""

MAX_LABEL: Final = 63
MAX_PORT: Final = 65535

WRAPPING: Final = " \t\r\n\"'<>`.,;"
"""Signs that a chat or a mail leaves around a copied line."""

TOKEN_LABEL: Final = b"jim-invite\0"


class Invite(NamedTuple):
    """What an invite says; `server_id` is the server's public identity key, 32 bytes."""

    host: str
    port: int
    server_id: bytes
    token: str

    def __repr__(self) -> str:
        return f"Invite({self.host!r}, {self.port}, token hidden)"


def new_token() -> str:
    """Make a token of 26 random characters."""
    return "".join(secrets.choice(base32.ALPHABET) for _ in range(TOKEN_CHARACTERS))


def token_hash(token: str) -> bytes:
    """Give the 32 bytes to store for a token, or to look up for any text that a client sent.

    No salt and no slow hash: the token has 130 bits already.
    """
    return hashlib.sha256(TOKEN_LABEL + token.lower().encode("utf-8", "surrogatepass")).digest()


def format_invite(invite: Invite) -> str:
    """Write an invite as one line.

    Raises:
        InviteMalformed: a part of it cannot be written.
    """
    host = _checked_host(invite.host)
    shown = f"[{host}]" if ":" in host else host
    port, token = _checked_port(str(invite.port)), _checked_token(invite.token)
    return f"{SCHEME}{shown}:{port}/{format_pin(invite.server_id)}/{token}"


def parse_invite(text: str) -> Invite:
    """Read an invite; quotes and brackets around it do not matter, nor does case.

    Raises:
        InviteMalformed: with `part` scheme, shape, host, port, pin or token; the detail says what
            is wrong with it, but never repeats the token.
    """
    line = text.strip(WRAPPING)
    if not line.lower().startswith(SCHEME):
        raise InviteMalformed(f"an invite begins with {SCHEME}", part="scheme")
    parts = line[len(SCHEME) :].strip("/").split("/")
    if len(parts) != 3:  # noqa: PLR2004 - address, pin, token
        detail = f"an invite has the form {SCHEME}HOST:PORT/PIN/TOKEN; is a part of it missing?"
        raise InviteMalformed(detail, part="shape")
    address, pin, token = parts
    host, colon, port = address.rpartition(":")
    if not colon or port.endswith("]"):
        raise InviteMalformed("the port is missing", part="port")
    return Invite(_unbracketed(host), _checked_port(port), _checked_pin(pin), _checked_token(token))


def _unbracketed(host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        inner = host[1:-1]
        if ":" in inner:
            return _checked_host(inner)
    elif ":" not in host:
        return _checked_host(host)
    detail = f"the host {host!r} is not one: an IPv6 address, and nothing else, stands in brackets"
    raise InviteMalformed(detail, part="host")


def _checked_host(host: str) -> str:
    """Give a host name in lower case and NFC, or an IP address in its usual form."""
    try:
        return str(ipaddress.ip_address(host)) if "%" not in host else _refuse_host(host)
    except ValueError:
        name = unicodedata.normalize("NFC", host.lower())
    labels = name.removesuffix(".").split(".")
    if len(name) <= MAX_HOST and all(map(_is_label, labels)) and not labels[-1].isdecimal():
        return name
    return _refuse_host(host)


def _is_label(label: str) -> bool:
    """Accept letters and digits of any script, and inner hyphens and underscores."""
    inner = unicodedata.normalize("NFKC", label) == label and all(
        sign in "-_" or unicodedata.category(sign) in {"Ll", "Lo", "Lm", "Mn", "Mc", "Nd"}
        for sign in label
    )
    return bool(label) and len(label) <= MAX_LABEL and inner and "-" not in (label[0], label[-1])


def _refuse_host(host: str) -> str:
    raise InviteMalformed(f"{host!r} is neither a host name nor an address", part="host")


def _checked_port(port: str) -> int:
    plausible = port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT))
    if not plausible or not 1 <= int(port) <= MAX_PORT:
        raise InviteMalformed(f"{port!r} is not a port: 1 to {MAX_PORT}", part="port")
    return int(port)


def _checked_pin(pin: str) -> bytes:
    try:
        return parse_pin(pin)
    except ValueError as error:
        raise InviteMalformed(f"the pin is wrong: {error}", part="pin") from None


def _checked_token(token: str) -> str:
    lowered = token.lower()
    foreign = not token.isascii() or set(lowered) - set(base32.ALPHABET)
    if len(lowered) != TOKEN_CHARACTERS or foreign:
        detail = f"the token is wrong: it has {TOKEN_CHARACTERS} characters out of a-z and 2-7"
        raise InviteMalformed(detail, part="token")
    return lowered
