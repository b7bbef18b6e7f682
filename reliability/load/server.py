"""A real server process on a port of its own: start, look at from outside, kill, start again."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.targets import cpu_s, rss_kib

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.77"
"""Where the server listens: an address that no other test uses, so that no port is taken."""

START_S = 60.0
"""To wait for a port: even a store with a million messages takes below a second."""

LIFTED = {"messages_per_s": "0", "bytes_per_s": "0"}
"""The pace of a person would be what is measured; 0 means none."""


class Gauge(Struct, frozen=True):
    """What the system says of the server at one moment."""

    at_s: float
    rss_mib: float
    descriptors: int
    threads: int
    database_mib: float


class ServerProcess:
    """`my_server.py` with a data directory; started as often as wanted on the same port."""

    def __init__(self, directory: Path, lifted: Mapping[str, str] = LIFTED) -> None:
        """Choose the port; nothing runs yet."""
        self.directory = directory
        directory.mkdir(mode=0o700, exist_ok=True)
        self.lifted = dict(lifted)
        self.port = _free_port()
        self.started_s = 0.0
        """Just before the last start, on the monotonic clock."""
        self.starts = 0
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return HOST, self.port

    @property
    def database(self) -> Path:
        """The file that the messages are in."""
        return self.directory / "server.db"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._running is not None
        return self._running.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it; return when it listens, unless told not to wait."""
        limits = [part for pair in self.lifted.items() for part in ("--limit", "=".join(pair))]
        command = [sys.executable, str(ROOT / "my_server.py"), "-a", HOST, "-p", str(self.port)]
        command += ["--data-dir", str(self.directory), "--log-level", "warning", *limits]
        command += ["--log-dir", str(self.directory / "log")]
        errors = (self.directory / "stderr.txt").open("ab")
        with errors:
            self.started_s = time.monotonic()
            self._running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        self.starts += 1
        if wait:
            self._wait_until_listening()

    def kill(self) -> None:
        """End it with kill -9 and see it dead."""
        assert self._running is not None
        self._running.kill()
        if self._running.wait(START_S) != -signal.SIGKILL:
            raise RuntimeError(f"the server ended before it was killed: {self._last_words()}")

    def stop(self) -> int:
        """Ask it to end; give the exit status. Does nothing to one that has ended."""
        assert self._running is not None
        self._running.terminate()
        return self._running.wait(START_S)

    def close(self) -> None:
        """Leave nothing running."""
        if self._running is not None and self._running.poll() is None:
            self._running.kill()
            self._running.wait(START_S)

    def gauge(self) -> Gauge:
        """Look at it from outside."""
        here = Path(f"/proc/{self.pid}")
        size_bytes = 0
        for name in ("server.db", "server.db-wal"):
            with contextlib.suppress(FileNotFoundError):
                size_bytes += (self.directory / name).stat().st_size
        return Gauge(
            at_s=time.monotonic(),
            rss_mib=rss_kib(self.pid) / 1024,
            descriptors=_entries(here / "fd"),
            threads=_entries(here / "task"),
            database_mib=size_bytes / 2**20,
        )

    def cpu_s(self) -> float:
        """Read how many seconds of CPU it has used."""
        return cpu_s(self.pid)

    def _wait_until_listening(self) -> None:
        assert self._running is not None
        while time.monotonic() < self.started_s + START_S:
            if self._running.poll() is not None:
                raise RuntimeError(f"the server has ended: {self._last_words()}")
            with contextlib.suppress(OSError):
                socket.create_connection(self.address, 1).close()
                return
            time.sleep(0.01)
        raise TimeoutError("the server does not listen")

    def _last_words(self) -> str:
        return (self.directory / "stderr.txt").read_text(errors="replace")


@contextlib.contextmanager
def running(directory: Path, lifted: Mapping[str, str] = LIFTED) -> Iterator[ServerProcess]:
    """Run a server for the length of a block."""
    server = ServerProcess(directory, lifted)
    try:
        server.start()
        yield server
    finally:
        server.close()


def _entries(directory: Path) -> int:
    return sum(1 for _ in directory.iterdir())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
