"""Prosody: XMPP with anonymous logins, nothing stored for who is there and nothing acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground."""
    return [program, "--config", str(configuration), "-F"]


PEER: Final = Peer(
    package="prosody",
    programs=("prosody",),
    template="prosody.cfg.lua",
    command=command,
    systems=(System("prosody", "Prosody", "xmpp", durable=False),),
)
