"""nats-server: core (at most once, nothing stored), and JetStream with its file store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground."""
    return [program, "--config", str(configuration)]


PEER: Final = Peer(
    package="nats-server",
    programs=("nats-server",),
    template="nats.conf",
    command=command,
    systems=(
        System("nats", "nats-server, core", "nats", durable=False, one_port=True),
        System(
            "jetstream",
            "NATS JetStream, file store",
            "jetstream",
            durable=False,
            one_port=True,
            keeps=True,
        ),
    ),
)
