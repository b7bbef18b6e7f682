"""`hello`: the server shows its identity, bound to this TLS connection, and its terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jim.crypto.handshake import prove_server
from jim.errors import UnsupportedVersion
from jim.protocol import messages as m
from jim.server.node import now_ms

if TYPE_CHECKING:
    from jim.server.login import Login

_CHALLENGED: Final = 100
"""The course's "notice"."""


def hello(login: Login, message: m.Hello) -> m.Challenge:
    """Answer with a challenge; it serves one attempt and lives as long as the time for the login.

    Raises:
        UnsupportedVersion: the client speaks another version; `expected` is ours.
    """
    if message.v != m.VERSION:
        raise UnsupportedVersion(expected=m.VERSION)
    node, spki = login.node, login.connection.visitor.spki
    exchange, signature = prove_server(
        node.identity, spki=spki, cnonce=message.cnonce, terms=node.terms
    )
    login.exchange = exchange
    return m.Challenge(
        id=message.id,
        response=_CHALLENGED,
        time=now_ms(),
        snonce=exchange.snonce,
        server_id=exchange.server_id,
        spki=spki,
        terms=node.terms,
        sig=signature,
    )
