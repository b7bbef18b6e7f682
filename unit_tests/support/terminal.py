"""A terminal for tests: a pseudo-terminal, drawn by pyte; every wait has a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyte
from ptyprocess import PtyProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEADLINE_S = 20.0
BRACKETED = ("\x1b[200~", "\x1b[201~")


class Terminal:
    """A program and its screen. `raw` is every byte that reached the terminal."""

    def __init__(
        self, arguments: list[str], env: Mapping[str, str], columns: int = 80, rows: int = 24
    ) -> None:
        self._screen: Any = pyte.HistoryScreen(columns, rows, history=5000)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._process = PtyProcess.spawn(arguments, env=dict(env), dimensions=(rows, columns))
        # pyte answers requests for the cursor's position by this method
        setattr(self._screen, "write_process_input", self._answer)  # noqa: B010
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, text: str) -> None:
        """Type."""
        data = text.encode()
        while data:
            data = data[os.write(self._process.fd, data) :]

    def _answer(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the program has ended without waiting for it
            self.send(text)

    def line(self, text: str) -> None:
        """Type a line and Enter."""
        self.send(f"{text}\r")

    def paste(self, text: str) -> None:
        """Paste, as terminals with bracketed paste do."""
        self.send(text.join(BRACKETED))

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        with self._lock:
            self._screen.resize(rows, columns)
        self._process.setwinsize(rows, columns)

    @property
    def rows(self) -> list[str]:
        """What is on the screen now, without trailing spaces."""
        with self._lock:
            return [row.rstrip() for row in self._screen.display]

    @property
    def everything(self) -> str:
        """What has scrolled away and what is on the screen."""
        with self._lock:
            above = [
                "".join(row[column].data for column in range(self._screen.columns)).rstrip()
                for row in self._screen.history.top
            ]
            return "\n".join([*above, *(row.rstrip() for row in self._screen.display)])

    def expect(self, text: str, count: int = 1) -> None:
        """Wait until the text is on the screen or above it."""
        self.until(lambda: self.everything.count(text) >= count, text)

    def until(self, condition: Callable[[], bool], what: str = "") -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what!r} did not come; the screen:\n{self.everything}")
            time.sleep(0.01)

    @property
    def current(self) -> str:
        """The row of the cursor."""
        with self._lock:
            return str(self._screen.display[self._screen.cursor.y]).rstrip()

    def wait(self) -> int:
        """Wait for the exit of the process and for all that it has written; give its status."""
        self.until(lambda: not self._process.isalive(), "exit")
        self._reader.join(DEADLINE_S)  # the last bytes outlive the process
        assert not self._reader.is_alive(), "something else still has the terminal"
        status = self._process.exitstatus
        return -int(self._process.signalstatus) if status is None else int(status)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._process.fd)[3] & termios.ECHO)

    def kill(self, number: int) -> None:
        """Send a signal."""
        self._process.kill(number)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.close(force=True)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._process.fd, 65536)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self.raw += data
                self._stream.feed(data)


class FakeTerminal(Terminal):
    """A front end on a fake client, in a terminal."""

    def __init__(
        self,
        mode: str,
        directory: Path,
        *,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str] | None = None,
        shell: bool = False,
        **settings: Any,
    ) -> None:
        """Start it; under a `shell` it can be stopped (`unit_tests.support.shell`)."""
        control = directory / "control"
        os.mkfifo(control)
        settings.pop("prompt", None)
        settings.setdefault("language", "en")
        merged = {
            **os.environ,
            "TERM": "xterm-256color",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "JIM_TEST_CONTROL": str(control),
            "JIM_TEST_FAKE": json.dumps(settings),
            **(env or {}),
        }
        program = [sys.executable, "-m", "unit_tests.support.fake_client", mode, "alice"]
        if shell:
            program = [sys.executable, "-m", "unit_tests.support.shell", *program]
        super().__init__(program, merged, columns, rows)
        self._control = control.open("w", encoding="utf-8", buffering=1)

    def do(self, what: str, **fields: Any) -> None:
        """Let something happen to the client."""
        self._control.write(json.dumps({"do": what, **fields}) + "\n")

    def close(self) -> None:
        """End it, whatever it does."""
        self._control.close()
        super().close()
