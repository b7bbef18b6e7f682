"""Redis streams: every XADD is in the append-only file, with fsync, before it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground."""
    return [program, str(configuration)]


PEER: Final = Peer(
    package="redis-server",
    programs=("redis-server",),
    template="redis.conf",
    command=command,
    systems=(System("redis", "Redis streams, AOF always", "redis", durable=True, keeps=True),),
)
