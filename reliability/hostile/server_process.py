"""The server under attack: a real process, and what it shows from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 30.0
"""Until it listens: a second here; only a fault reaches the limit."""

STOP_S: Final = 15.0
"""From SIGTERM to the end: three times the server's own limit for draining."""

LIMITS: Final = (
    "messages_per_s=0",
    "bytes_per_s=0",
    "penalty_start_s=0",
    "exempt_networks=127.0.0.0/8,::1/128",
    "unauthenticated_start=256",
)
"""Lifted: what would measure itself. Frames, login, window, malformed frames are as delivered."""

SUSPICIOUS: Final = re.compile(
    r"traceback|incident|exception|error in|never awaited", re.IGNORECASE
)
"""None of it belongs into a log or an output, whatever clients send."""


def free_port() -> int:
    """Find a port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(home: Path) -> dict[str, str]:
    """Give the environment of a user who has set nothing."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ
    }
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "JIM_LOG_DIR": str(home / "log"),
    }


class ServerProcess:
    """`my_server.py` on a free port of the loopback, with a data directory of its own."""

    def __init__(self, directory: Path, command: Sequence[str] = ()) -> None:
        """Keep everything below `directory`; `command` replaces the program, for tests."""
        self.port = free_port()
        self._home = directory / "server"
        self._command = command or (sys.executable, str(ROOT / "my_server.py"))
        self._output = b""
        self._process: Process | None = None
        self._readers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start it and wait until it listens."""
        self._home.mkdir(parents=True)
        limits = [part for limit in LIMITS for part in ("--limit", limit)]
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            *("-a", "127.0.0.1", "-p", str(self.port)),
            *("--data-dir", str(self._home / "data")),
            *limits,
            env=clean_environment(self._home),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                self._readers.append(asyncio.create_task(self._read(stream)))
        try:
            async with asyncio.timeout(START_S):
                while not self._listens:  # noqa: ASYNC110 - it prints when it likes
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self._process.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, politely first."""
        process = self.process
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await asyncio.gather(*self._readers)

    @property
    def _listens(self) -> bool:
        """Whether it has said so; true also when it has ended, so that nobody waits for it."""
        return str(self.port).encode() in self._output or not self.is_up

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(1 << 16):
            self._output += chunk

    @property
    def process(self) -> Process:
        """The process, once it was started."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process

    @property
    def is_up(self) -> bool:
        """Whether it is still the process that was started."""
        return self.process.returncode is None

    def rss_bytes(self) -> int:
        """Measure its resident memory; 0 once it is gone."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.process.pid).memory_info().rss)
        return 0

    def suspicious_lines(self) -> list[str]:
        """Give what no input may cause, from its log and its output."""
        texts = [self._output.decode("utf-8", "replace")]
        logs = sorted((self._home / "log").glob("*"))
        texts += [path.read_text(encoding="utf-8", errors="replace") for path in logs]
        return [line for text in texts for line in text.splitlines() if SUSPICIOUS.search(line)]
