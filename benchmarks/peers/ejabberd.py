"""ejabberd: XMPP with anonymous logins, no shapers, nothing stored for who is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, _configuration: Path, place: Place) -> list[str]:
    """Run its Erlang node in the foreground, without the control script's change of user."""
    spool = f'"{place.directory}/spool"'
    options = ["+K", "true", "+P", "250000", "+Q", "65536", "-noinput"]
    return [program, *options, "-mnesia", "dir", spool, "-s", "ejabberd"]


PEER: Final = Peer(
    package="ejabberd",
    programs=("erl",),
    template="ejabberd.yml",
    command=command,
    environment=(
        ("ERL_LIBS", "/usr/lib/x86_64-linux-gnu"),
        ("EJABBERD_CONFIG_PATH", "$directory/ejabberd.yml"),
        ("EJABBERD_LOG_PATH", "$directory/ejabberd.log"),
        ("HOME", "$directory"),
    ),
    systems=(System("ejabberd", "ejabberd", "xmpp", durable=False),),
)
