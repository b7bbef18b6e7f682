"""Real processes: start them, read what they print as it comes, freeze, kill, and see how they end.

It knows nothing of JIM.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
"""The checkout: where the programs under test are."""

DEADLINE_S: Final = 30.0
"""To wait for anything: far beyond what a loaded machine needs, so that only a fault reaches it."""

KEPT_LINES: Final = 10_000
"""Of each output, for whoever looks for a reason afterwards: a megabyte at most. A server that is
well prints five lines, a traceback has a few dozen."""


class Launch(Struct, frozen=True, kw_only=True):
    """How a program is started, apart from what it is.

    Attributes:
        prefix: words before the command: `strace …`, `prlimit …`, `ip netns exec …`. Each has to
            become the program in the end (`exec`), so that a signal meets the program itself;
            strace does so with `-D`.
        env: variables beyond those of an ordinary user, for example LD_PRELOAD.
    """

    prefix: tuple[str, ...] = ()
    env: dict[str, str] = {}


PLAIN: Final = Launch()
"""Nothing special."""


class Ended(Exception):
    """A program did not do what was waited for; the text has its last words."""


class Program:
    """One process, whose output is read line by line while it runs."""

    def __init__(
        self,
        arguments: Sequence[str],
        home: Path,
        launch: Launch = PLAIN,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Start it.

        Args:
            arguments: the command, without what `launch` puts before it.
            home: of the user who runs it; made if it is not there.
            launch: how.
            on_line: called in a thread of its own with each line of the standard output; without
                it the lines are kept in `lines`.
        """
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._news = threading.Condition()
        self._on_line = on_line
        self._is_read = threading.Event()
        self._is_read.set()
        self._process = self._begin((*launch.prefix, *arguments), environment(home, launch.env))
        self._readers = [
            threading.Thread(target=self._read, args=(stream, take), daemon=True)
            for stream, take in (
                (self._process.stdout, self._take_line),
                (self._process.stderr, self._take_error),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _begin(self, words: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start the process with its three streams here."""
        return subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
        )

    # --- what it says -----------------------------------------------------------------------------

    def _read(self, stream: IO[str] | None, take: Callable[[str], None]) -> None:
        for line in self._lines(stream):
            # A kill tears a line off; whoever reads lines as they come wants whole ones.
            if line.endswith("\n") or self._on_line is None:
                take(line.rstrip("\n"))
        with self._news:
            self._news.notify_all()

    def _lines(self, stream: IO[str] | None) -> Iterator[str]:
        # Closed by `wait`; a terminal that nobody works at any more says EIO (man 4 pty).
        with contextlib.suppress(ValueError, OSError):
            for line in stream or ():
                yield line
                self._is_read.wait()

    def narrow(self, size_bytes: int) -> None:
        """Let the pipe of its standard output take so little, where the system can (Linux)."""
        if self._process.stdout is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, size_bytes)

    def stall(self) -> None:
        """Read no further line, so that its output fills the pipe, until `read_on` or its end."""
        self._is_read.clear()

    def read_on(self) -> None:
        """Go on after `stall`."""
        self._is_read.set()

    def _take_line(self, line: str) -> None:
        if self._on_line is not None:
            self._on_line(line)
            return
        self._note(self.lines, line)

    def _take_error(self, line: str) -> None:
        self._note(self.errors, line)

    def _note(self, kept: list[str], line: str) -> None:
        with self._news:
            kept.append(line)
            del kept[:-KEPT_LINES]
            self._news.notify_all()

    def expect(self, pattern: str, timeout_s: float = DEADLINE_S) -> str:
        """Wait for a line of the standard output that matches; give it.

        Raises:
            Ended: the program ended, or took too long.
        """
        give_up_s = time.monotonic() + timeout_s
        with self._news:
            while True:
                for line in self.lines:
                    if re.search(pattern, line):
                        return line
                if time.monotonic() > give_up_s or not self._readers[0].is_alive():
                    raise Ended(f"no line matches {pattern!r}: {self.last_words()}")
                self._news.wait(0.1)

    def last_words(self) -> str:
        """Give the end of what it printed, and how it ended if it has."""
        shown = "\n".join([*self.lines[-5:], *self.errors[-20:]])
        return f"status {self._process.poll()}\n{shown}"

    def say(self, line: str) -> bool:
        """Write a line to its standard input; False if nobody reads there any more."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(line + "\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    # --- its life ---------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How it ended: the exit status, negative for a signal, None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; does nothing to one that has ended."""
        self._process.send_signal(number)

    def ends_within(self, timeout_s: float) -> bool:
        """Wait for its end; tell whether it came."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self.status is not None

    def kill(self) -> int:
        """End it with kill -9, frozen or not; give how it ended."""
        self._process.kill()
        return self.wait()

    def stop(self, timeout_s: float = DEADLINE_S) -> int:
        """Ask it to end (SIGTERM); give how it ended.

        Raises:
            Ended: it does not; it has been killed then.
        """
        self._process.terminate()
        return self.wait(timeout_s)

    def finish(self, timeout_s: float = DEADLINE_S) -> int:
        """Close its standard input, which tells it to end; give how it ended.

        Raises:
            Ended: it does not; it has been killed then.
        """
        self._close_stdin()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for the end and for the rest of its output; give how it ended.

        Raises:
            Ended: it goes on; it has been killed then.
        """
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(DEADLINE_S)
            self._read_the_rest()
            raise Ended(f"it did not end within {timeout_s:g} s: {self.last_words()}") from None
        self._read_the_rest()
        return status

    def _read_the_rest(self) -> None:
        """Read what is left of the output of a process that is dead, and close everything."""
        self._close_stdin()
        self.read_on()
        for reader in self._readers:
            reader.join(DEADLINE_S)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()


def environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a user who has set nothing: English, and nothing inherited."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ
    }
    home.mkdir(parents=True, exist_ok=True)
    paths = [extra["PYTHONPATH"]] if "PYTHONPATH" in extra else []
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LANGUAGE": "en",
        "PYTHONUNBUFFERED": "1",
        "JIM_LOG_DIR": str(home / "log"),
        **extra,
        "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)]),
    }
