"""ngIRCd: IRC, nothing stored and nothing acknowledged; penalties for floods are off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import IRC_BODY_BYTES, Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground."""
    return [program, "--nodaemon", "--config", str(configuration)]


PEER: Final = Peer(
    package="ngircd",
    programs=("ngircd",),
    template="ngircd.conf",
    command=command,
    systems=(
        System(
            "ngircd",
            "ngIRCd",
            "irc",
            durable=False,
            most_body_bytes=IRC_BODY_BYTES,
            people=True,
        ),
    ),
)
