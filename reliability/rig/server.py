"""The server as a process: always the same port and directory, however often it dies."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final, Self

from msgspec import structs

from jim.launch.ports import free_port
from reliability.rig.programs import DEADLINE_S, PLAIN, ROOT, Launch, Program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIFTED: Final = {
    "messages_per_s": "0",
    "bytes_per_s": "0",
    "penalty_start_s": "0",
}
"""The pace of a person and the wait after a failed login would be what is measured; 0 is none."""


class Server:
    """`my_server.py` with a data directory; as a context, nothing of it runs on afterwards."""

    def __init__(
        self,
        directory: Path,
        *,
        data_dir: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        launch: Launch = PLAIN,
        limits: Mapping[str, str] = LIFTED,
        options: Sequence[str] = (),
    ) -> None:
        """Choose where it listens; nothing runs yet.

        Args:
            directory: home of the user who runs it; its log is there.
            data_dir: database and keys; `data` below the home unless something is to happen to it.
            host: address to listen on.
            port: 0 looks for a free one on the loopback.
            launch: how the following starts are made; may be changed between them.
            limits: that are not as delivered.
            options: more words of its command line.
        """
        self.directory = directory
        self.data_dir = data_dir or directory / "data"
        self.host = host
        self.port = port or free_port()
        self.launch = launch
        self.limits = dict(limits)
        self.starts = 0
        self._options = tuple(options)
        self._program: Program | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self.host, self.port

    @property
    def database(self) -> Path:
        """The file that the messages are in."""
        return self.data_dir / "server.db"

    @property
    def program(self) -> Program:
        """The process that was started last."""
        assert self._program is not None, "the server has not been started"
        return self._program

    @property
    def pid(self) -> int:
        """Of the running process."""
        return self.program.pid

    @property
    def is_up(self) -> bool:
        """Whether it runs."""
        return self._program is not None and self._program.status is None

    @property
    def status(self) -> int | None:
        """How it ended: exit status, negative for a signal, None while it runs."""
        return self.program.status

    @property
    def complaint(self) -> str:
        """What it wrote to its standard error."""
        return "\n".join(self.program.errors)

    def start(self, *, wait: bool = True, timeout_s: float = DEADLINE_S) -> None:
        """Start it, or start it again; return when it listens, unless told not to wait.

        Raises:
            Ended: it does not come to listen.
        """
        self.starts += 1
        limits = [word for pair in self.limits.items() for word in ("--limit", "=".join(pair))]
        words = [sys.executable, str(ROOT / "my_server.py"), "-a", self.host, "-p", str(self.port)]
        words += ["--data-dir", str(self.data_dir), *limits, *self._options]
        self._program = Program(words, self.directory, self.launch)
        if wait:
            self.wait_until_up(timeout_s)

    def wait_until_up(self, timeout_s: float = DEADLINE_S) -> None:
        """Wait until it says that it listens.

        Raises:
            Ended: it does not.
        """
        self.program.expect(rf"listens on .*:{self.port}\b", timeout_s)

    def kill(self) -> int:
        """End it with kill -9, frozen or not; give how it ended."""
        return self.program.kill()

    def stop(self, timeout_s: float = DEADLINE_S) -> int:
        """Ask it to end; give the exit status, which is 0 if all is well.

        Raises:
            Ended: it does not end; it has been killed then.
        """
        return self.program.stop(timeout_s)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for an end that something else brings about; give how it ended.

        Raises:
            Ended: it goes on; it has been killed then.
        """
        return self.program.wait(timeout_s)

    def close(self) -> None:
        """Leave nothing running."""
        if self._program is not None:
            self._program.kill()

    def launch_with(self, prefix: tuple[str, ...] = ()) -> None:
        """Put other words before the command of the next starts; the environment stays."""
        self.launch = structs.replace(self.launch, prefix=prefix)

    def log_text(self) -> str:
        """Read its log of all its lives."""
        files = sorted((self.directory / "log").glob("server.log*"))
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def blunders(self) -> list[str]:
        """Give the lines of its log that no fault may cause."""
        return [line for line in self.log_text().splitlines() if _BLUNDER.search(line)]


_BLUNDER: Final = re.compile(r"incident [0-9a-f]+ in|could not be taken|never awaited")
"""An exception that nobody foresaw. What a fault causes is reported by what to do about it."""
