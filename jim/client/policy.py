"""When to try again and how long to wait: the rules for a link that fails."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.address import Address
    from jim.client.known_servers import KnownServer, Mode
    from jim.errors import JimError

CONNECT_S: Final = 10.0
"""For TCP and TLS together: a lost SYN is repeated after 1, 3 and 7 s (RFC 6298)."""

LOGIN_S: Final = 15.0
"""From hello to welcome: what the server allows (`Limits.login_s`)."""

HAPPY_EYEBALLS_S: Final = 0.25
"""Head start of each resolved address before the next is tried (RFC 8305, section 5)."""

SILENCE_S: Final = 30.0
"""A probe after so much silence: keeps NAT entries alive (the shortest common time-out is 60 s)."""

DEAD_S: Final = 10.0
"""A probe without any answer: the figure of `CONNECT_S`, for the same three repetitions."""

FIRST_DELAY_S: Final = 0.5
"""Upper bound of the first wait: about the restart of a server, short for somebody who looks."""

MAX_DELAY_S: Final = 30.0
"""Upper bound of every wait: 15,000 clients spread over it make 500 logins a second."""

STEADY_S: Final = 10.0
"""A session that lasted so long was a good one: the next wait begins at the first delay again."""

CROWD_DELAY_S: Final = 8.0
"""Upper bound of the wait when the server is there, and only too many clients come at once: 15,000
of them spread over it make 1,900 attempts a second, which cost little where they are refused."""

MAX_ASKED_S: Final = 600.0
"""Longest wait that a server can ask for: as long as its own penalties (`Limits.penalty_max_s`). It
asks before it has proven who it is: whoever answers one connection in its place must not silence
the client for longer than they are there."""

CROWDED: Final = frozenset({"turned_away", "closed"})
"""Why a connection may fail although the server is there (`reason` of `ConnectFailed`)."""


class Backoff:
    """Waits that grow, with full jitter, so that clients do not come back in step."""

    def __init__(self, chance: random.Random | None = None) -> None:
        """Take the source of chance; tests hand in a seeded one."""
        self._chance = chance or random.SystemRandom()
        self._failures = 0

    def succeeded(self) -> None:
        """Begin at the first delay again."""
        self._failures = 0

    def met_server(self) -> None:
        """Wait `CROWD_DELAY_S` at most the next time; failures go on to count from there."""
        most = int(math.log2(CROWD_DELAY_S / FIRST_DELAY_S))
        self._failures = min(self._failures, most)

    def next_s(self, error: JimError | None) -> float:
        """Give the next wait; never shorter than what the server asked for, within reason."""
        if error is not None and error.fields.get("reason") in CROWDED:
            self.met_server()
        bound = min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(self._failures, 16))
        self._failures += 1
        asked = error.fields.get("retry_after_ms", 0) if error else 0
        asked_s = asked / 1000 if isinstance(asked, int) else 0.0
        return min(max(0.0, asked_s), MAX_ASKED_S) + self._chance.uniform(0.0, bound)


def modes_to_try(
    address: Address, known: KnownServer | None, ca_file: Path | None
) -> tuple[Mode, ...]:
    """Say how to judge the certificate; a first contact may try a second mode after the first.

    Who names a CA file wants authorities and nothing less. A known server stays in its mode.
    """
    if ca_file is not None:
        return ("ca",)
    if known is not None:
        return (known.mode,)
    return ("ca", "pin") if address.has_public_name else ("pin",)
