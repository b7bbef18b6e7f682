"""Real processes for tests: start, talk to, wait for what they print, kill, start again."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from jim.launch.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0
"""To wait for anything: far beyond what a loaded machine needs, so that only a fault reaches it."""


class Program:
    """A process whose output is read line by line as it comes."""

    def __init__(self, *arguments: str, env: Mapping[str, str], cwd: Path | None = None) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._fresh: queue.Queue[None] = queue.Queue()
        self.process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            text=True,
            encoding="utf-8",
            bufsize=1,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.errors),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            self._fresh.put(None)
        stream.close()
        self._fresh.put(None)

    def say(self, *lines: str) -> None:
        """Type lines into its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def expect(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until `count` lines of its output match; give all that do."""
        deadline = time.monotonic() + DEADLINE_S
        while len(found := [line for line in self.lines if re.search(pattern, line)]) < count:
            if time.monotonic() > deadline or self._is_over():
                found = [line for line in self.lines if re.search(pattern, line)]
                if len(found) >= count:
                    return found
                raise AssertionError(
                    f"{len(found)} of {count} lines match {pattern!r}; "
                    f"exit {self.process.poll()}\n--- output\n"
                    + "\n".join(self.lines[-40:])
                    + "\n--- errors\n"
                    + "\n".join(self.errors[-40:])
                )
            try:
                self._fresh.get(timeout=0.2)
            except queue.Empty:
                continue
        return found

    def _is_over(self) -> bool:
        return self.process.poll() is not None and not any(r.is_alive() for r in self._readers)

    def finish(self, *lines: str) -> int:
        """Type the last lines, close the input, and give the exit status."""
        self.say(*lines)
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; give the exit status (negative: the signal)."""
        status = self.process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        return status

    def kill(self) -> None:
        """End it without a chance to do anything (kill -9)."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """Ask it to end (SIGTERM); give the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


def environment(home: Path, **extra: str) -> dict[str, str]:
    """An environment of a user whose home is empty; English, and nothing of ours inherited."""
    kept = {
        name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ
    }
    home.mkdir(parents=True, exist_ok=True)
    return {
        **kept,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LANGUAGE": "en",
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


class World:
    """A server and its users, each in a home of their own, as if on machines of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.server: Program | None = None
        self._programs: list[Program] = []

    def start_server(self, *flags: str) -> Program:
        """Start, or start again, the server on the same port and data; wait until it listens."""
        self.server = self._run(
            self.directory / "server",
            str(ROOT / "my_server.py"),
            *("-a", "127.0.0.1", "-p", str(self.port)),
            *("--data-dir", str(self.directory / "server" / "data")),
            *flags,
        )
        self.server.expect(str(self.port))
        return self.server

    def kill_server(self) -> None:
        """End the server with kill -9."""
        assert self.server is not None
        self.server.kill()

    def client(self, name: str, *flags: str, **env: str) -> Program:
        """Start the seed's client in pipe mode."""
        arguments = ("127.0.0.1", str(self.port), "-n", name, *flags)
        return self._run(self.home(name), str(ROOT / "my_client.py"), *arguments, **env)

    def jim(self, owner: str, *arguments: str, **env: str) -> Program:
        """Start a command of `jim` as the user `owner`."""
        env = {"JIM_NAME": owner, "JIM_SERVER": f"127.0.0.1:{self.port}", **env}
        return self._run(self.home(owner), "-m", "jim.client", *arguments, **env)

    def operate(self, *arguments: str) -> Program:
        """Run the server's program as its operator, on the data directory of this world."""
        first = arguments[:1] if not arguments[0].startswith("-") else ()
        rest = arguments[len(first) :]
        data = ("--data-dir", str(self.directory / "server" / "data"))
        return self._run(self.directory / "server", "-m", "jim.server", *first, *data, *rest)

    def home(self, name: str) -> Path:
        """Where that user lives."""
        return self.directory / f"home of {name}"

    def _run(self, home: Path, *arguments: str, **env: str) -> Program:
        program = Program(sys.executable, *arguments, env=environment(home, **env), cwd=None)
        self._programs.append(program)
        return program

    def close(self) -> None:
        """Kill whatever still runs."""
        for program in self._programs:
            program.kill()


@contextmanager
def world(directory: Path, *flags: str) -> Iterator[World]:
    """A running server with nobody on it yet."""
    here = World(directory)
    try:
        here.start_server(*flags)
        yield here
    finally:
        here.close()
