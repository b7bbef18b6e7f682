"""Start child processes, wait for a port, and end children again, by their id and no other way.

Children never outlive the launcher: it ends them when it ends in any orderly way, and on Linux the
kernel does it (PR_SET_PDEATHSIG) even when the launcher is killed. Every wait has a limit and wakes
up on SIGINT, SIGTERM and SIGHUP. One thread only, so that a child may be prepared between fork and
exec.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Final

from jim.i18n import _
from jim.launch.plan import LaunchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jim.launch.plan import Command
    from jim.launch.signals import Stop

PROBE_PAUSE_S: Final = 0.02
"""Between two looks at a port: well under what a person notices."""

PROBE_TIMEOUT_S: Final = 0.5
"""For one connection to a port of this machine, which answers within a millisecond or never."""

START_TIMEOUT_S: Final = 20.0
"""For a server to listen: it needs about 1 s, and a slow machine with cold disks ten times that."""

END_TIMEOUT_S: Final = 8.0
"""For a child to end by itself: a server drains within 5 s, then it is killed."""

_PR_SET_PDEATHSIG: Final = 1
"""From <sys/prctl.h>."""


def spawn(
    command: Command,
    *,
    own_session: bool = True,
    stdin: int | IO[bytes] | None = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child that ends with us.

    Args:
        command: what to start.
        own_session: whether Ctrl+C and the end of the terminal reach us alone; a program that uses
            the terminal itself needs False.
        stdin: as in `subprocess`.
        stdout: as in `subprocess`.
        stderr: as in `subprocess`.
        environment: instead of ours.

    Raises:
        LaunchError: the program cannot be started.
    """
    base = os.environ if environment is None else environment
    try:
        return subprocess.Popen(  # noqa: S603
            command.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env={**base, **dict(command.extra)},
            start_new_session=own_session and os.name == "posix",
            preexec_fn=_end_with_parent(),  # noqa: PLW1509  (one thread)
        )
    except OSError as error:
        raise LaunchError(
            _("cannot start {program}: {reason}").format(
                program=command.argv[0], reason=error.strerror
            )
        ) from error


def _end_with_parent() -> Callable[[], None] | None:
    """Return what the child calls before exec to be ended by the kernel when we die, on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)

    return prepare


def end(children: Iterable[subprocess.Popen[bytes]], timeout_s: float = END_TIMEOUT_S) -> None:
    """End children and their process groups: first ask, after `timeout_s` in all force."""
    running = [child for child in children if child.poll() is None]
    for child in running:
        _signal(child, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    for child in running:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(child, getattr(signal, "SIGKILL", signal.SIGTERM))
            child.wait(timeout_s)


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the child's group if it leads one; else the child alone."""
    if child.poll() is not None:
        return
    try:
        if os.name == "posix" and os.getpgid(child.pid) == child.pid:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    except ProcessLookupError:
        return


def port_answers(host: str, port: int) -> bool:
    """Tell whether something accepts connections there."""
    try:
        socket.create_connection((host, port), PROBE_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def speaks_jim(host: str, port: int) -> bool:
    """Tell whether a JIM server listens there: it answers even plain JSON with a JSON line."""
    try:
        with socket.create_connection((host, port), PROBE_TIMEOUT_S) as connection:
            connection.settimeout(PROBE_TIMEOUT_S)
            connection.sendall(b'{"action":"probe","id":0}\n')
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline(4096))
    except (OSError, ValueError):
        return False
    return isinstance(answer, dict) and "action" in answer


def wait_for_port(
    host: str,
    port: int,
    stop: Stop,
    alive: Callable[[], bool],
    timeout_s: float = START_TIMEOUT_S,
) -> bool:
    """Wait until the server accepts connections.

    Args:
        host: where the clients will connect.
        port: its port.
        stop: the signals that end the wait.
        alive: tells whether the server still runs.
        timeout_s: the limit.

    Returns:
        False when the server ended before.

    Raises:
        LaunchError: the time is over.
        Interrupted: a signal came.
    """
    deadline = time.monotonic() + timeout_s
    while alive():
        if port_answers(host, port):
            return True
        if time.monotonic() >= deadline:
            raise LaunchError(
                _("the server did not listen on port {port} within {seconds:.0f} s").format(
                    port=port, seconds=timeout_s
                )
            )
        stop.pause(PROBE_PAUSE_S)
    return False


def wait_for_end(child: subprocess.Popen[bytes], stop: Stop) -> None:
    """Wait, without limit, until the child has ended.

    Raises:
        Interrupted: a signal came.
    """
    while child.poll() is None:
        stop.pause(0.5)


def exit_status(child: subprocess.Popen[bytes]) -> int:
    """Return the status of an ended child as a shell reports it: 128 + n after signal n."""
    status = child.returncode
    return status if status >= 0 else 128 - status
