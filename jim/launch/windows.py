"""Show each client in a terminal window of its own, the server in this terminal.

The windows end with us in every case: each holds a connection to us (`jim.launch.keeper`), and the
system closes those connections even when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from jim.i18n import _
from jim.launch.keeper import LIFELINE_HOST
from jim.launch.plan import LaunchError, terminal_program
from jim.launch.processes import END_TIMEOUT_S, end, exit_status, spawn, wait_for_port
from jim.launch.screen import complain, say
from jim.launch.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jim.launch.plan import Command, Plan, Surroundings

CREATE_NEW_CONSOLE: Final = 0x10
"""Flag of CreateProcess; `subprocess` has its name on Windows only."""

LIFELINE_PLACE: Final = 0
"""Port number in a dry run, where there is no lifeline yet."""


def window_command(around: Surroundings, inner: Command) -> tuple[str, ...]:
    """Return the command that opens a window with `inner` in it."""
    if around.platform == "win32":
        return inner.argv
    if around.platform == "darwin":
        line = f"exec {shlex.join(inner.packed())}".replace("\\", "\\\\").replace('"', '\\"')
        script = f'tell application "Terminal" to do script "{line}"'
        return ("osascript", "-e", script, "-e", 'tell application "Terminal" to activate')
    before = terminal_program(around)
    if before is None:
        raise LaunchError(_("no program to open terminal windows was found"))
    return (*before, *inner.packed())


def client_windows(plan: Plan, around: Surroundings, lifeline: int) -> Iterator[tuple[str, ...]]:
    """Yield the command of each client's window."""
    for command in plan.clients.values():
        kept = plan.keeper("client", command, "--lifeline", str(lifeline))
        yield window_command(around, kept)


def dry_run(plan: Plan, around: Surroundings) -> Iterator[str]:
    """Yield the lines of shell that would do what `run` does."""
    if plan.server is not None:
        yield plan.server.shell() + " &"
        yield "# " + _("wait until port {port} answers").format(port=plan.port)
    for command in client_windows(plan, around, LIFELINE_PLACE):
        yield shlex.join(command)


def run(plan: Plan, around: Surroundings) -> int:
    """Start the server here and the clients in windows; return when the server ends.

    Without a server of ours, return when the last window is closed.

    Raises:
        LaunchError: the server or a window could not be started.
        Interrupted: a signal came; that is how the user stops everything.
    """
    with Stop() as stop, socket.create_server((LIFELINE_HOST, 0)) as lifelines:
        server = spawn(plan.server) if plan.server is not None else None
        openers: list[subprocess.Popen[bytes]] = []
        try:
            if server is not None:
                _await_server(plan, server, stop)
            for command in client_windows(plan, around, lifelines.getsockname()[1]):
                openers.append(_open_window(command, plan, around))  # noqa: PERF401  (may fail)
            say(_("Stop everything: Ctrl+C here."))
            return _watch(server, lifelines, stop)
        finally:
            end([server] if server is not None else [])
            _reap(openers)


def _await_server(plan: Plan, server: subprocess.Popen[bytes], stop: Stop) -> None:
    if not wait_for_port(plan.host, plan.port, stop, lambda: server.poll() is None):
        raise LaunchError(
            _("the server ended at once, with status {status}").format(status=exit_status(server))
        )


def _open_window(
    command: tuple[str, ...], plan: Plan, around: Surroundings
) -> subprocess.Popen[bytes]:
    options: dict[str, Any] = {"start_new_session": True}
    if around.platform == "win32":
        extra = next(iter(plan.clients.values())).extra
        options = {"creationflags": CREATE_NEW_CONSOLE, "env": {**os.environ, **dict(extra)}}
    try:
        return subprocess.Popen(command, **options)  # noqa: S603
    except OSError as error:
        raise LaunchError(
            _("cannot start {program}: {reason}").format(program=command[0], reason=error.strerror)
        ) from error


def _watch(server: subprocess.Popen[bytes] | None, lifelines: socket.socket, stop: Stop) -> int:
    """Hold the windows' lifelines until the server ends; dropping them closes the windows."""
    held: list[socket.socket] = []
    seen = False
    with contextlib.ExitStack() as open_sockets:
        while server is None or server.poll() is None:
            for ready in stop.pause(0.5, lifelines, *held):
                if ready is lifelines:
                    held.append(open_sockets.enter_context(lifelines.accept()[0]))
                    seen = True
                else:
                    held.remove(ready)
                    ready.close()
            if server is None and seen and not held:
                return 0
    complain(_("the server ended with status {status}").format(status=exit_status(server)))
    return 1


def _reap(openers: list[subprocess.Popen[bytes]]) -> None:
    """Wait for the terminal programs, whose windows end by their lifelines, but not for ever."""
    deadline = time.monotonic() + END_TIMEOUT_S
    for opener in openers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            opener.wait(max(0.0, deadline - time.monotonic()))
