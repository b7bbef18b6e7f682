"""Stand between a pane or window and the program in it, so that both end when they should.

`--keep server`: closing a pane sends SIGHUP, on which the server only rereads its settings. The
keeper takes the signal instead and asks the server to end. When the server ends, the keeper closes
the clients' panes of its tmux window.

`--keep client`: a window that a terminal program opened is no child of the launcher. The keeper
holds a connection to the launcher, the lifeline; when that breaks, however the launcher ended, the
client is ended.

After a failure the pane or window stays open until its error has been read. tmux could do some of
this with remain-on-exit and hooks, but 3.3a often misses how the program of a pane ended.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from jim.i18n import _
from jim.launch.plan import Command
from jim.launch.processes import end, exit_status, spawn, wait_for_end
from jim.launch.screen import say
from jim.launch.signals import Interrupted, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

LIFELINE_HOST: Final = "127.0.0.1"
"""The launcher and its windows are always on one machine."""

STATUS_OPTION: Final = "@jim_status"
"""Option of the server's pane in tmux: the exit status, once the server has ended."""


def main(argv: Sequence[str]) -> int:
    """Keep one program; `argv` is what follows `--keep`. Return the program's exit status."""
    parser = argparse.ArgumentParser(prog="jim-launch --keep")
    parser.add_argument("role", choices=["server", "client"])
    parser.add_argument("--lifeline", type=int, metavar="PORT")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(argv)
    command = Command(tuple(options.command))
    if options.role == "server":
        return _keep_server(command)
    return _keep_client(command, options.lifeline)


def _keep_server(command: Command) -> int:
    with Stop() as stop:
        child = spawn(command)
        try:
            wait_for_end(child, stop)
        except Interrupted:
            end([child])
    status = exit_status(child)
    pane = os.environ.get("TMUX_PANE")
    if pane:
        _tmux("set-option", "-p", "-t", pane, STATUS_OPTION, str(status))
        _tmux(*(("kill-window",) if status == 0 else ("kill-pane", "-a")), "-t", pane)
    if status != 0:
        _wait_for_reader(status)
    return status


def _tmux(*words: str) -> None:
    """Call the tmux that we are in; where the pane is gone already, there is nothing to do."""
    subprocess.run(("tmux", *words), check=False, capture_output=True)  # noqa: S603, S607


def _keep_client(command: Command, port: int | None) -> int:
    signal.signal(signal.SIGINT, _leave_to_the_client)
    with Stop(("SIGTERM", "SIGHUP", "SIGBREAK")) as stop:
        # The client uses the terminal itself: it stays in the terminal's session and group.
        child = spawn(command, own_session=False, stdin=None)
        try:
            cut = _wait_on_lifeline(child, stop, port)
        except Interrupted:
            cut = True
        end([child])
    status = exit_status(child)
    if status != 0 and not cut:
        _wait_for_reader(status)
    return status


def _wait_for_reader(status: int) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        say(_("The program ended with status {status}.").format(status=status))
        say(_("Press Enter to close this window."))
        sys.stdin.readline()


def _leave_to_the_client(_signum: int, _frame: object) -> None:
    """Do nothing: the terminal sends Ctrl+C to the client as well, which decides."""


def _wait_on_lifeline(child: subprocess.Popen[bytes], stop: Stop, port: int | None) -> bool:
    """Wait for the end of the child or of the lifeline; tell whether the lifeline broke."""
    if port is None:
        wait_for_end(child, stop)
        return False
    try:
        lifeline = socket.create_connection((LIFELINE_HOST, port))
    except OSError:
        return True
    with lifeline:
        while child.poll() is None:
            if stop.pause(0.5, lifeline):  # the launcher never writes: readable means gone
                return True
    return False
