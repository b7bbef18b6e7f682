"""Our server: flood limits lifted (`targets.LIFTED`), everything else as delivered."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from benchmarks import accounts, targets
from benchmarks.peers.base import HOST, Peer, Place, System

if TYPE_CHECKING:
    from pathlib import Path

MOST_BODY_BYTES: Final = 16_384
"""The default limit of a text (docs/operations.md)."""


def command(program: str, _configuration: Path, place: Place) -> list[str]:
    """Run the server of this checkout."""
    lifted = (f"{name}={value}" for name, value in targets.LIFTED.items())
    limits = [part for limit in lifted for part in ("--limit", limit)]
    data = str(place.directory / "data")
    arguments = ["-a", HOST, "-p", str(place.tls_port), "--data-dir", data, *limits]
    return [program, "-m", "jim.server", *arguments]


def accounts_file(place: Place) -> Path:
    """Name the file with the accounts."""
    return place.directory / "accounts"


def prepare(place: Place) -> None:
    """Register the accounts of all pairs."""
    accounts.register((HOST, place.tls_port), accounts_file(place))


PEER: Final = Peer(
    package="",
    programs=(sys.executable,),
    template="",
    command=command,
    prepare=prepare,
    systems=(
        System(
            "jim",
            "JIM",
            "jim",
            durable=True,
            tls=(True,),
            most_body_bytes=MOST_BODY_BYTES,
            keeps=True,
            people=True,
        ),
    ),
)
