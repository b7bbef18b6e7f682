"""Our server on a store that was filled before it starts, and what its long measurements share.

Flood limits are lifted as for every measurement (`targets.LIFTED`). Data, certificate, accounts and
log are in one directory below `--scratch`, which is removed at the end, whatever that end is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from benchmarks import accounts, targets
from benchmarks.generator import GeneratorError
from benchmarks.machine import described
from benchmarks.peers import jim
from benchmarks.peers.base import PeerError, Place, Running, new_place
from benchmarks.stocking import stocked
from jim.server.admin import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.stocking import Member, Stock

START_S: Final = 600.0
"""To wait for a start: one that has to read a store of ten million messages may take minutes, and
that is what is measured then."""

POLL_S: Final = 0.002
"""Between two attempts to connect: below a hundredth of the fastest start (0.3 s)."""

KILLED_STATUS: Final = 128 + signal.SIGTERM
"""As a shell tells it."""


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Give a parser with the options that every command has."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    made.add_argument("--quick", action="store_true", help="small, to see that it works")
    made.add_argument(
        "--scratch",
        type=Path,
        default=Path(os.environ.get("TMPDIR", "/var/tmp")),
        help="where the data lies: a real disk (default %(default)s)",
    )
    made.add_argument("--json", type=Path, help="write the figures to this file")
    return made


def machine(module: str, scratch: Path) -> dict[str, Any]:
    """Name what was measured on, and the command."""
    command = " ".join([f"python -m benchmarks.{module}", *sys.argv[1:]])
    return described(scratch) | {"command": command}


def reported(
    measure: Callable[[], dict[str, Any]],
    text_of: Callable[[dict[str, Any]], str],
    complaints: Callable[[dict[str, Any]], list[str]],
    json_file: Path | None,
) -> int:
    """Measure, print the report, keep the figures; give the status of the program."""
    try:
        figures = measure()
    except (GeneratorError, PeerError) as error:
        raise SystemExit(str(error)) from error
    print(text_of(figures))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if complaints(figures) else 0


@contextlib.contextmanager
def directory(scratch: Path) -> Iterator[Place]:
    """Give a server's place; it is removed at the end, also when the program is asked to end."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(KILLED_STATUS))
    try:
        with TemporaryDirectory(dir=scratch, prefix="bench-", ignore_cleanup_errors=True) as name:
            yield new_place(Path(name))
    finally:
        signal.signal(signal.SIGTERM, before)


def database(place: Place) -> Path:
    """Name the database of a place."""
    return place.directory / "data" / DATABASE


def disk_bytes(place: Place) -> int:
    """Add up the files of the store."""
    return sum(path.stat().st_size for path in database(place).parent.iterdir())


def pair_names(pairs: int) -> list[str]:
    """Name the accounts of the generator's pairs: senders, then receivers."""
    return [f"{letter}{index}" for letter in "sr" for index in range(pairs)]


def enlist(
    place: Place,
    names: Iterable[str],
    fill: Callable[[Stock], None] = lambda _: None,
    *,
    sealing: bool = False,
) -> list[Member]:
    """Make the store with accounts for the generator, and with whatever `fill` puts there.

    With `sealing` their devices have keys of encryption.
    """
    with stocked(database(place)) as stock:
        members = stock.enlist_sealing(names) if sealing else stock.enlist(names)
        fill(stock)
    lines = (accounts.line(member.account()) for member in members)
    jim.accounts_file(place).write_text("".join(lines), encoding="utf-8")
    return members


@contextlib.contextmanager
def serving(place: Place) -> Iterator[tuple[Running, float]]:
    """Start the server of a place; give it, and how long it took until it listened, in s.

    The caller binds itself to the load's core only afterwards: a program that is bound to one core
    hands that on to all that it starts.

    Raises:
        PeerError: it ends at once, or does not listen.
    """
    started_s = time.monotonic()
    server = Running(jim.PEER, place, _launched(place))
    try:
        while not targets.listens(place.tls_port):
            if not server.alive() or time.monotonic() - started_s > START_S:
                output = (place.directory / "output").read_text(errors="replace")
                raise PeerError(f"the server does not listen:\n{output[-2000:]}")
            time.sleep(POLL_S)
        yield server, time.monotonic() - started_s
    finally:
        server.end()


def _launched(place: Place) -> subprocess.Popen[bytes]:
    log = ["--log-dir", str(place.directory / "log")]
    with (place.directory / "output").open("wb") as output:
        return subprocess.Popen(
            [*jim.command(sys.executable, place.directory, place), *log],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_pinned,  # noqa: PLW1509 - no threads here
        )


def _pinned() -> None:
    targets.pin(targets.SERVER_CORE)


def flow_values(place: Place, **values: object) -> dict[str, object]:
    """Give the options of the generator for the server of a place."""
    return {
        "protocol": "jim",
        "port": place.tls_port,
        "tls": 1,
        "accounts": jim.accounts_file(place),
        **values,
    }
