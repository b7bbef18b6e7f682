"""Mosquitto: MQTT with QoS 0 and QoS 1, no persistence, queues without bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground."""
    return [program, "-c", str(configuration)]


PEER: Final = Peer(
    package="mosquitto",
    programs=("mosquitto",),
    template="mosquitto.conf",
    command=command,
    systems=(
        System("mqtt0", "Mosquitto, QoS 0", "mqtt0", durable=False),
        System("mqtt1", "Mosquitto, QoS 1", "mqtt1", durable=False, keeps=True, people=True),
    ),
)
