"""The servers that ours is measured beside, a module each; `PEERS` is all of them, ours first.

A module says how its server is installed, configured and started. It never says what is measured:
that is the same for all (`benchmarks.workloads`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers import (
    ejabberd,
    inspircd,
    jim,
    mosquitto,
    nats,
    ngircd,
    prosody,
    redis,
)

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer

PEERS: Final[tuple[Peer, ...]] = (
    jim.PEER,
    ngircd.PEER,
    inspircd.PEER,
    prosody.PEER,
    ejabberd.PEER,
    mosquitto.PEER,
    redis.PEER,
    nats.PEER,
)
