"""The server under load: on an address of its own, with what the system says of it."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from jim.launch.ports import free_port
from reliability import vitals
from reliability.rig.programs import DEADLINE_S, Ended
from reliability.rig.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.77"
"""Where the server listens: an address that no other test uses, so that no port is taken."""

LIFTED = {"messages_per_s": "0", "bytes_per_s": "0"}
"""The pace of a person would be what is measured; 0 means none. What crowds meet is as delivered,
unless a scenario says so."""


class Gauge(Struct, frozen=True):
    """What the system says of the server at one moment."""

    at_s: float
    rss_mib: float
    descriptors: int
    threads: int
    database_mib: float


class LoadServer(Server):
    """A server that logs warnings only: a line for each of thousands of logins is no part of it."""

    def __init__(self, directory: Path, limits: Mapping[str, str] = LIFTED) -> None:
        """Choose the port; nothing runs yet."""
        super().__init__(
            directory,
            host=HOST,
            port=free_port(HOST),
            limits=limits,
            options=("--log-level", "warning"),
        )
        self.started_s = 0.0
        """Just before the last start, on the monotonic clock."""

    def start(self, *, wait: bool = True, timeout_s: float = DEADLINE_S) -> None:
        """Start it and note when; see `Server.start`."""
        self.started_s = time.monotonic()
        super().start(wait=wait, timeout_s=timeout_s)

    def kill(self) -> int:
        """End it with kill -9.

        Raises:
            Ended: it had ended before, so whatever follows would prove nothing.
        """
        status = super().kill()
        if status != -signal.SIGKILL:
            raise Ended(f"it had ended before it was killed: {self.program.last_words()}")
        return status

    def gauge(self) -> Gauge:
        """Look at it from outside.

        Raises:
            ProcessLookupError: it is gone.
        """
        size_bytes = 0
        for path in (self.database, self.database.with_name(f"{self.database.name}-wal")):
            with contextlib.suppress(FileNotFoundError):
                size_bytes += path.stat().st_size
        return Gauge(
            at_s=time.monotonic(),
            rss_mib=vitals.rss_bytes(self.pid) / 2**20,
            descriptors=vitals.open_descriptors(self.pid),
            threads=vitals.threads(self.pid),
            database_mib=size_bytes / 2**20,
        )

    def cpu_s(self) -> float:
        """Read how many seconds of CPU it has used."""
        return vitals.cpu_s(self.pid)
