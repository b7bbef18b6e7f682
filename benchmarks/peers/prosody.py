"""Prosody: XMPP, nothing stored for who is there and nothing acknowledged.

Its host `localhost` lets anyone in anonymously; `members.localhost` has accounts, offline messages
and rosters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.accounts import PASSWORD, names
from benchmarks.peers.base import Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path


def command(program: str, configuration: Path, _place: Place) -> list[str]:
    """Run it in the foreground."""
    return [program, "--config", str(configuration), "-F"]


def prepare(place: Place) -> None:
    """Write the accounts where its default storage looks for them: a file each."""
    directory = place.directory / "members%2elocalhost" / "accounts"
    directory.mkdir(parents=True)
    for name in names():
        account = f'return {{ ["password"] = "{PASSWORD}"; }};\n'
        (directory / f"{name}.dat").write_text(account, encoding="ascii")


PEER: Final = Peer(
    package="prosody",
    programs=("prosody",),
    template="prosody.cfg.lua",
    command=command,
    prepare=prepare,
    systems=(System("prosody", "Prosody", "xmpp", durable=False, keeps=True, people=True),),
)
