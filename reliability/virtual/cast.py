"""Accounts that are registered once per process of this program, and used in many runs.

Making one takes keys, words and a dozen files; a run that begins with registered accounts costs a
tenth. They are made by the real client and the real server, in a world without faults.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from msgspec import Struct

from jim.core.model import Enrolment, Registration
from jim.crypto.certificate import make_certificate, spki_sha256
from jim.crypto.keys import SigningKey

DEVICES: Final = ("anna/1", "anna/2", "boris/1", "clara/1")
"""Everybody of the play: the account, and which of its devices."""


def tmpfs() -> str | None:
    """Give a directory in memory, where there is one."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() else None


class Identity(Struct, frozen=True):
    """Who the server is."""

    key: SigningKey
    certificate: bytes
    spki: bytes


class Cast(Struct, kw_only=True):
    """The server's identity, and the accounts with their disks.

    Attributes:
        directory: of the files that all runs only read; a subdirectory for each device.
        images: of the devices' databases.
        arrivals: what the server's store has to be told so that it knows them.
    """

    identity: Identity
    directory: Path
    images: dict[str, bytes]
    arrivals: list[Registration | Enrolment]
    keeper: Any = None

    def data_dir(self, device: str) -> Path:
        """Give where the device's client keeps its files."""
        return self.directory / device.replace("/", "-")


def make_identity() -> Identity:
    """Make the server's keys."""
    pem = make_certificate(["localhost"], datetime.now(UTC))
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    return Identity(SigningKey.generate(), der, spki_sha256(der))


def empty_cast() -> Cast:
    """Give a server that knows nobody, and a directory that goes with the object."""
    keeper = tempfile.TemporaryDirectory(prefix="jim-virtual-", dir=tmpfs())
    return Cast(
        identity=make_identity(),
        directory=Path(keeper.name),
        images={},
        arrivals=[],
        keeper=keeper,
    )
