"""Show server and clients in one terminal: before each line stands the name of its writer.

`>2 text` goes to the second client as a line of its input, and so does `>bob text`. The clients run
in their pipe mode, so what they write is lines; still, nothing reaches the terminal unsanitised.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
from typing import IO, TYPE_CHECKING, Final

from jim.client.console.text import safe_line
from jim.i18n import _
from jim.launch.plan import LaunchError
from jim.launch.processes import END_TIMEOUT_S, end, exit_status, spawn, wait_for_port
from jim.launch.screen import say
from jim.launch.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.launch.plan import Command, Plan

LONGEST_LINE_BYTES: Final = 64 * 1024
"""A longer line of a child is shown in parts: the memory for an unfinished one is bounded."""

SERVER: Final = "server"


class Lines:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[str]:
        """Return the lines that are complete; empty bytes mean the end of the stream."""
        *whole, self._rest = (self._rest + received).split(b"\n")
        if self._rest and (not received or len(self._rest) > LONGEST_LINE_BYTES):
            whole.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace").rstrip("\r") for line in whole]


class Mux:
    """The running children and their one terminal."""

    def __init__(self, plan: Plan, stop: Stop) -> None:
        self._plan = plan
        self._stop = stop
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lines: dict[str, Lines] = {}
        self._typed = Lines()

    def run(self) -> int:
        """Start everything and relay lines until the server or all clients have ended.

        Raises:
            LaunchError: something could not be started.
            Interrupted: a signal came.
        """
        try:
            self._start()
            self._usage()
            return self._relay()
        finally:
            self._end()

    def _start(self) -> None:
        if self._plan.server is not None:
            server = self._spawn(SERVER, self._plan.server)
            up = wait_for_port(
                self._plan.host, self._plan.port, self._stop, lambda: server.poll() is None
            )
            if not up:
                self._drain()
                raise LaunchError(
                    _("the server ended at once, with status {status}").format(
                        status=exit_status(server)
                    )
                )
        for name, command in self._plan.clients.items():
            self._spawn(name, command)
        self._selector.register(self._stop, selectors.EVENT_READ, "")
        with contextlib.suppress(PermissionError):  # epoll takes no plain files
            self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ, "")

    def _spawn(self, name: str, command: Command) -> subprocess.Popen[bytes]:
        stdin = subprocess.DEVNULL if name == SERVER else subprocess.PIPE
        child = spawn(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._children[name] = child
        self._lines[name] = Lines()
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
        self._selector.register(_stream(child.stdout), selectors.EVENT_READ, name)
        return child

    def _usage(self) -> None:
        targets = ", ".join(
            f">{index} {name}" for index, name in enumerate(self._plan.clients, start=1)
        )
        say(
            _("Type `>NUMBER text` to write a line to a client ({targets}).").format(
                targets=targets
            )
        )
        say(_("Stop everything: Ctrl+C or Ctrl+D."))

    def _relay(self) -> int:
        while True:
            for key, _events in self._selector.select(0.5):
                if key.data:
                    self._show(key.data)
                elif key.fileobj is self._stop:
                    self._stop.check()
                elif not self._read_terminal():
                    return 0
            status = self._ended()
            if status is not None:
                return status

    def _ended(self) -> int | None:
        """Return the status to end with, once the server or the last client has ended."""
        running = [name for name, child in self._children.items() if child.poll() is None]
        server = self._children.get(SERVER)
        if server is not None and SERVER not in running:
            self._drain()
            text = _("the server ended with status {status}").format(status=exit_status(server))
            say(f"[{SERVER}] {text}")
            return 1
        if not set(running) - {SERVER}:
            self._drain()
            return max(exit_status(self._children[name]) for name in self._plan.clients)
        return None

    def _show(self, name: str) -> None:
        stream = _stream(self._children[name].stdout)
        received = os.read(stream.fileno(), 65536)
        if not received:
            self._selector.unregister(stream)
        for line in self._lines[name].feed(received):
            say(f"[{name}] {safe_line(line)}")

    def _drain(self) -> None:
        """Show what children that have ended still left in their pipes."""
        for name, child in self._children.items():
            stream = _stream(child.stdout)
            if child.poll() is not None and not stream.closed:
                os.set_blocking(stream.fileno(), False)
                with contextlib.suppress(BlockingIOError, KeyError):
                    while stream in self._selector.get_map():
                        self._show(name)

    def _read_terminal(self) -> bool:
        received = os.read(sys.stdin.fileno(), 65536)
        for line in self._typed.feed(received):
            self._obey(line)
        return bool(received)

    def _obey(self, line: str) -> None:
        target = parse_target(line, list(self._plan.clients))
        if target is None:
            self._usage()
            return
        name, text = target
        stream = _stream(self._children[name].stdin)
        try:
            os.write(stream.fileno(), text.encode(errors="replace") + b"\n")
        except OSError:
            say(f"[{name}] " + _("takes no input now"))

    def _end(self) -> None:
        clients = [child for name, child in self._children.items() if name != SERVER]
        for child in clients:
            with contextlib.suppress(OSError):
                _stream(child.stdin).close()  # a client whose input ends finishes its outbox
        end(clients, END_TIMEOUT_S)
        end([child for name, child in self._children.items() if name == SERVER])
        self._drain()
        self._selector.close()
        for child in self._children.values():
            _stream(child.stdout).close()


def parse_target(line: str, names: list[str]) -> tuple[str, str] | None:
    """Return the client and the text that a typed line means, or None."""
    word, _blank, text = line.lstrip().partition(" ")
    if not word.startswith(">"):
        return None
    target = word[1:]
    if target in names:
        return target, text
    if target.isascii() and target.isdigit() and 1 <= int(target[:3]) <= len(names):
        return names[int(target[:3]) - 1], text
    return None


def run(plan: Plan) -> int:
    """Run the plan in this terminal and return the exit status."""
    with Stop() as stop:
        return Mux(plan, stop).run()


def dry_run(plan: Plan) -> Iterator[str]:
    """Yield what `run` starts, one line of shell each; their input and output are pipes to us."""
    if plan.server is not None:
        yield plan.server.shell()
        yield "# " + _("wait until port {port} answers").format(port=plan.port)
    for command in plan.clients.values():
        yield command.shell()


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # noqa: S101  (spawned with pipes)
    return pipe
