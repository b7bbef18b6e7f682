"""What both machines share: how long they try, and how they give a connection up."""

from __future__ import annotations

from msgspec import Struct

MAX_FRUITLESS = 3
"""So often in a row the same thing is tried without anything having come of it; then the connection
is given up, and the next `welcome` tells where the server really stands."""


class Disconnect(Struct, frozen=True):
    """Give the connection up: the server's answers make no sense."""

    reason: str
