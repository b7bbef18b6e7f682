"""Constants of the whole project; each says its unit and where its value comes from.

Limits of the protocol and of the server live with their owner, `jim.core.limits`.
"""

from __future__ import annotations

from typing import Final

DEFAULT_PORT: Final = 7777
"""TCP port. The seed's README says 777 for the server and 7777 for the client; its code uses 7777
for both, and so do we: 777 needs root and would not meet the client."""

DEFAULT_HOST: Final = "localhost"
"""Where a client looks for the server when it is told nothing (the seed's default)."""

DEFAULT_LISTEN_ADDRESS: Final = ""
"""All addresses of the machine, IPv4 and IPv6 (the seed's default for `-a`)."""

TLS_FIRST_BYTE: Final = 0x16
"""Content type "handshake" of a TLS record (RFC 8446, 5.1): how one port tells TLS from plain
JSON."""
