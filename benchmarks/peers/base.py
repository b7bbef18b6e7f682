"""What a measured server is: a program, a configuration from a template, ports, and a process.

Every server gets a directory of its own on the disk, a certificate of the same kind (P-256), a port
in plain text and one with TLS, and core 0. It is ended by its process id.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from benchmarks import targets
from benchmarks.load import LOGINS_AT_ONCE
from jim.crypto.certificate import ensure_certificate
from jim.launch.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOST: Final = "127.0.0.1"
ANY_BODY_BYTES: Final = 65_536
"""No limit of the server's own below what the generator sends at most."""

IRC_BODY_BYTES: Final = 400
"""A line of IRC has 512 bytes with everything (RFC 2812, 2.3)."""

OURS: Final = ("-m", "jim.server", "--version")
"""What makes our own server say its version."""

START_S: Final = 60.0
"""To wait for both ports: an Erlang node on a busy core takes 10 s."""

STOP_S: Final = 30.0
"""To end by itself after SIGTERM; then it is killed."""


class PeerError(Exception):
    """A server does not start."""


@dataclass(frozen=True)
class Place:
    """What a template is filled with: every attribute by its name, as `$port`."""

    directory: Path
    port: int
    tls_port: int
    certificate: Path
    user: str = "root"

    def fill(self, template: str) -> str:
        """Fill in a configuration; an unknown name in it is a mistake.

        Raises:
            KeyError: the template asks for what is not there.
        """
        values = {name: str(value) for name, value in vars(self).items()}
        return Template(template).substitute(values)


@dataclass(frozen=True)
class System:
    """One row of the table: a way in which a server is used.

    Attributes:
        title: for people.
        protocol: of the generator.
        durable: whether a message is on disk before it is acknowledged.
        tls: the kinds of connection it has: with TLS, without.
        most_body_bytes: the longest body that its protocol carries.
        one_port: whether the plain port speaks TLS, too.
        logins_at_once: logins that the generator has under way together.
        keeps: whether messages wait for those who are away.
        people: whether it is made for people, who come and go: with names, presence or receipts.
    """

    key: str
    title: str
    protocol: str
    durable: bool
    tls: tuple[bool, ...] = (True, False)
    most_body_bytes: int = ANY_BODY_BYTES
    one_port: bool = False
    logins_at_once: int = LOGINS_AT_ONCE
    keeps: bool = False
    people: bool = False


@dataclass(frozen=True)
class Peer:
    """A server: how it is found, configured, started, and what it is measured as.

    Attributes:
        package: its name in Debian; empty for our own.
        programs: the names or paths of its program; the first that is there.
        template: its configuration, a file beside this module; empty for none.
        command: its command line, from program, configuration and place.
        prepare: what has to be done between its start and the load.
        environment: added to its environment; filled in like the template.
    """

    package: str
    programs: tuple[str, ...]
    template: str
    command: Callable[[str, Path, Place], list[str]]
    systems: tuple[System, ...]
    prepare: Callable[[Place], None] | None = None
    environment: tuple[tuple[str, str], ...] = ()

    def program(self) -> str | None:
        """Find the program, also where only root's PATH leads."""
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
        found = (shutil.which(name, path=path) for name in self.programs)
        return next((program for program in found if program), None)

    def version_text(self) -> str:
        """Give the version: of the Debian package, or what our own program says."""
        command = ["dpkg-query", "-W", self.package] if self.package else [*self.programs, *OURS]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        return " ".join(done.stdout.split()) or "unknown"


class Running:
    """A started server. Between its turns it is stopped, so that it takes nothing from others."""

    def __init__(self, peer: Peer, place: Place, process: subprocess.Popen[bytes]) -> None:
        self.peer = peer
        self.place = place
        self._process = process

    @property
    def pid(self) -> int:
        """The process that serves: its memory is the server's."""
        return self._process.pid

    def port(self, system: System, *, tls: bool) -> int:
        """Give the port of a system with or without TLS."""
        return self.place.tls_port if tls and not system.one_port else self.place.port

    def pause(self) -> None:
        """Stop the process where it is."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it and everything that it started."""
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_S)

    def _signal(self, which: signal.Signals) -> None:
        if self.alive():
            os.killpg(self._process.pid, which)


@contextmanager
def running(peer: Peer, scratch: Path | None = None) -> Iterator[Running]:
    """Start a server with fresh data in a directory below `scratch`, paused by nobody.

    Raises:
        PeerError: it is not installed, ends at once, or does not listen.
    """
    program = peer.program()
    if program is None:
        raise PeerError(f"not installed: apt-get install {peer.package}")
    with TemporaryDirectory(dir=scratch, prefix="bench-", ignore_cleanup_errors=True) as name:
        place = new_place(Path(name))
        started = Running(peer, place, _start(peer, program, place))
        try:
            for port in {
                started.port(system, tls=tls) for system in peer.systems for tls in system.tls
            }:
                _wait_for(started, port)
            if peer.prepare:
                peer.prepare(place)
            yield started
        finally:
            started.end()


def new_place(directory: Path) -> Place:
    """Choose ports, and make the certificate."""
    directory.chmod(0o755)  # some servers leave root behind
    pem = directory / "server.pem"
    ensure_certificate(pem, ["localhost"], datetime.now(UTC))
    pem.chmod(0o644)
    return Place(directory, free_port(), free_port(), pem)


def _start(peer: Peer, program: str, place: Place) -> subprocess.Popen[bytes]:
    configuration = place.directory / (peer.template or "none")
    if peer.template:
        template = Path(__file__).with_name(peer.template).read_text()
        configuration.write_text(place.fill(template))
    added = {name: place.fill(value) for name, value in peer.environment}
    with (place.directory / "output").open("wb") as output:
        return subprocess.Popen(
            peer.command(program, configuration, place),
            cwd=place.directory,
            env=os.environ | added,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_pinned,  # noqa: PLW1509 - no threads here
        )


def _pinned() -> None:
    targets.pin(targets.SERVER_CORE)


def _wait_for(started: Running, port: int) -> None:
    deadline = time.monotonic() + START_S
    while not targets.listens(port):
        if not started.alive() or time.monotonic() > deadline:
            output = (started.place.directory / "output").read_text(errors="replace")
            raise PeerError(f"{started.peer.programs[0]} does not listen:\n{output[-2000:]}")
        time.sleep(0.05)
