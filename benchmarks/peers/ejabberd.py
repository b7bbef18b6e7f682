"""ejabberd: XMPP with anonymous logins, no shapers, nothing stored for who is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, place: Place) -> list[str]:
    """Run its Erlang node in the foreground, without the control script's change of user."""
    spool = f'"{place.directory}"'
    return [
        program,
        "-noinput",
        "-mnesia",
        "dir",
        spool,
        "-ejabberd",
        "config",
        f'"{configuration}"',
        "-s",
        "ejabberd",
    ]


PEER: Final = Peer(
    package="ejabberd",
    programs=("erl",),
    template="ejabberd.yml",
    command=command,
    version=("-noshell", "-eval", "io:format(\"x\"), halt()."),
    systems=(System("ejabberd", "ejabberd", "xmpp", False),),
)
