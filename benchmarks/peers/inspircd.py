"""InspIRCd: IRC, nothing stored and nothing acknowledged; fake lag and limits are off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import IRC_BODY_BYTES, Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


LOGINS_AT_ONCE: Final = 1000
"""InspIRCd completes logins once a second, all that are under way: 32 at once would be 32/s."""


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground; root has to be meant."""
    return [program, "--nofork", "--nolog", "--runasroot", "--config", str(configuration)]


PEER: Final = Peer(
    package="inspircd",
    programs=("inspircd",),
    template="inspircd.conf",
    command=command,
    systems=(
        System(
            "inspircd",
            "InspIRCd",
            "irc",
            durable=False,
            most_body_bytes=IRC_BODY_BYTES,
            logins_at_once=LOGINS_AT_ONCE,
            people=True,
        ),
    ),
)
