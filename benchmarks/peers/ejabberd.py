"""ejabberd: XMPP, no shapers, nothing stored for who is there.

Its host `localhost` lets anyone in anonymously; `members.localhost` has accounts, offline messages
and rosters.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from benchmarks.accounts import PAIRS, PASSWORD
from benchmarks.peers.base import START_S, Peer, PeerError, Place, System

if TYPE_CHECKING:
    from pathlib import Path

REGISTER: Final = (
    '[ejabberd_auth:try_register(list_to_binary([L | integer_to_list(N)]), <<"members.localhost">>,'
    f' <<"{PASSWORD}">>) || N <- lists:seq(0, {PAIRS - 1}), L <- "sr"],'
    ' file:write_file("REGISTERED", "").'
)
"""Makes the accounts of all pairs in the node itself, and then a file that says so."""


def command(program: str, _configuration: Path, place: Place) -> list[str]:
    """Run its Erlang node in the foreground, without the control script's change of user."""
    spool = f'"{place.directory}/spool"'
    options = ["+K", "true", "+P", "250000", "+Q", "65536", "-noinput"]
    register = REGISTER.replace("REGISTERED", str(registered(place)))
    return [program, *options, "-mnesia", "dir", spool, "-s", "ejabberd", "-eval", register]


def registered(place: Place) -> Path:
    """Name the file that is there once all accounts are made."""
    return place.directory / "registered"


def prepare(place: Place) -> None:
    """Wait for the accounts.

    Raises:
        PeerError: they are not there in time.
    """
    deadline = time.monotonic() + START_S
    while not registered(place).exists():
        if time.monotonic() > deadline:
            raise PeerError("ejabberd does not register its accounts")
        time.sleep(0.05)


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
    prepare=prepare,
    systems=(System("ejabberd", "ejabberd", "xmpp", durable=False, keeps=True, people=True),),
)
