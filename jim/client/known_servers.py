"""Remember which identity each server address has shown: one readable line each, as ssh does.

`HOST:PORT MODE IDENTITY` where MODE is pin or ca and IDENTITY the server's public key. A mode never
goes back from ca to pin. The file is ours alone (0600) and replaced as a whole, under a lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from jim.client.lock import FileLock
from jim.client.translate import store_errors
from jim.common.files import make_directory
from jim.crypto import key_files
from jim.crypto.keys import format_pin, parse_pin
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.address import Address

FILE_NAME: Final = "known_servers"

Mode = Literal["pin", "ca"]
"""How the TLS certificate is judged: not (the identity key signs it), or by authorities too."""

_MODES: Final[dict[str, Mode]] = {"pin": "pin", "ca": "ca"}


class KnownServer(Struct, frozen=True):
    """What is remembered of one address."""

    address: str
    mode: Mode
    server_id: bytes


class KnownServers:
    """The file of known servers in a data directory. Every method blocks."""

    def __init__(self, data_dir: Path) -> None:
        """Take the directory; nothing is read yet."""
        self._path = data_dir / FILE_NAME

    def all(self) -> list[KnownServer]:
        """Read every server, in the order in which they were met.

        Raises:
            KeyFileError: the file is damaged, or others can use it.
        """
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            key_files.check_private(self._path, os.fstat(file.fileno()))
            text = file.read().decode("utf-8", "replace")
        lines = (line.strip() for line in text.splitlines())
        return [self._parse(line) for line in lines if line and not line.startswith("#")]

    def find(self, address: Address) -> KnownServer | None:
        """Look an address up.

        Raises:
            KeyFileError: as `all`.
        """
        return next((known for known in self.all() if known.address == str(address)), None)

    def remember(self, address: Address, mode: Mode, server_id: bytes) -> None:
        """Keep a server that has proven its identity; an address that is known stays as it is.

        Only from pin to ca may the mode of a known one change.

        Raises:
            KeyFileError: the file is damaged.
            StoreError: it cannot be written.
        """
        new = KnownServer(str(address), mode, server_id)
        with store_errors(self._path.parent):
            self._remember(new)

    def _remember(self, new: KnownServer) -> None:
        make_directory(self._path.parent)
        with FileLock(self._path.with_suffix(".lock")).wait():
            servers = {known.address: known for known in self.all()}
            old = servers.setdefault(new.address, new)
            if old.server_id == new.server_id and new.mode == "ca":
                servers[new.address] = new
            text = "".join(
                f"{s.address} {s.mode} {format_pin(s.server_id)}\n" for s in servers.values()
            )
            key_files.write_private(self._path, text.encode(), replace=True)

    def _parse(self, line: str) -> KnownServer:
        words = line.split()
        try:
            address, mode, pin = words
            return KnownServer(address, _MODES[mode], parse_pin(pin))
        except (ValueError, KeyError):
            detail = f"{self._path}: the line {line!r} is damaged; repair or remove it"
            raise KeyFileError(detail, path=str(self._path), reason="damaged") from None
