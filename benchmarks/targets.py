"""The processes under load: our server and the reference relay, each alone on core 0."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from jim.launch.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.peer import Address

HOST = "127.0.0.1"
SERVER_CORE, LOAD_CORE = 0, 1
START_S = 20.0
"""To wait for a port; a cold start takes well under a second here."""

LIFTED = {"messages_per_s": 0, "bytes_per_s": 0, "unauthenticated_start": 4096}
LIFTED |= {"unauthenticated_full": 8192, "waiting_messages": 100_000_000}
"""Flood limits that would measure themselves; 0 means none. Everything else is as delivered."""


_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
"""What this process was started with. A server inherits what the load generator is bound to, so
that asking later would leave both of them on one core."""


def lifted() -> list[str]:
    """Give the arguments of `jim-server` that lift the flood limits."""
    return [part for name, value in LIFTED.items() for part in ("--limit", f"{name}={value}")]


def pin(core: int) -> None:
    """Bind this process to a core, where it has more than one."""
    if core in _CORES:
        os.sched_setaffinity(0, {core})


@contextmanager
def our_server(
    directory: Path | None = None, data: Path | None = None
) -> Iterator[tuple[Address, int]]:
    """Run `jim-server`; give its address and process id.

    Its store is fresh and lies below `directory`, or it is the one in `data`, which stays.
    """
    with ExitStack() as stack:
        place = data or stack.enter_context(TemporaryDirectory(dir=directory))
        port = free_port()
        command = ["-m", "jim.server", "-a", HOST, "-p", str(port), "--data-dir", str(place)]
        yield stack.enter_context(running([*command, *lifted()], port))


@contextmanager
def reference_relay() -> Iterator[tuple[Address, int]]:
    """Run the relay; give its address and process id."""
    with TemporaryDirectory() as data:
        port = free_port()
        with running(["-m", "benchmarks.relay", str(port), data], port) as target:
            yield target


@contextmanager
def running(
    arguments: list[str], port: int, inherited: Sequence[int] = ()
) -> Iterator[tuple[Address, int]]:
    """Run a Python program that listens on the port; it inherits these descriptors."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        preexec_fn=lambda: pin(SERVER_CORE),  # noqa: PLW1509 - no threads here
        stdout=subprocess.DEVNULL,
        pass_fds=inherited,
    )
    try:
        _wait_for(port, process)
        yield (HOST, port), process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}")
        if listens(port):
            return
        time.sleep(0.02)
    raise SystemExit("the server does not listen")


def listens(port: int) -> bool:
    """Tell whether a connection to the port of this machine succeeds."""
    try:
        socket.create_connection((HOST, port), 1).close()
    except OSError:
        return False
    return True


def rss_kib(pid: int) -> int:
    """Read the resident memory of a process in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)


def cpu_s(pid: int) -> float:
    """Read how many seconds of CPU a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def raise_descriptor_limit() -> int:
    """Allow as many descriptors as the machine does; give their number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
