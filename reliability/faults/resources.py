"""A server that runs out of descriptors or of memory in the middle of its work."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import TYPE_CHECKING, Final

from reliability.faults.model import Fault
from reliability.faults.spells import pause, run_spells
from reliability.injectors.resources import few_descriptors, little_memory
from reliability.rig.programs import Ended
from reliability.rig.scene import Scene
from reliability.rig.server import Server
from reliability.vitals import open_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reliability.faults.model import Report, Result

MORE_DESCRIPTORS: Final = 4
"""Than the server has: the first strangers take them."""

STRANGERS: Final = 24
"""Connections that say nothing: many times `MORE_DESCRIPTORS`."""

CROWDED_S: Final = (1.0, 2.0)
"""The server lets strangers wait for 3 s (`Limits.first_byte_s`), so they hold on for all of it."""

MORE_BYTES: Final = (0, 1_500_000)
"""Than the server has mapped: an allocator's arena fits or does not."""

STARVED_S: Final = (1.0, 2.5)

PRESSED_BYTES: Final = 15_000
"""Of messages written meanwhile, nearly as long as they may be: they are what needs memory."""

PRESSED: Final = 240
"""Of these, each time."""


# --- descriptors ----------------------------------------------------------------------------------


def run_descriptors(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Strangers take the last descriptors; who is in goes on, who comes then gets in afterwards."""
    with Scene(directory, seed) as scene:
        return run_spells(scene, "descriptors", cycles, _crowd, report)


def _crowd(scene: Scene, _: int) -> str:
    pid = scene.server.pid
    latecomer = scene.chance.choice(scene.people)
    latecomer.quit()
    before = _refusals(scene)
    with few_descriptors(pid, MORE_DESCRIPTORS) as limit, _strangers(scene):
        full = _wait_until_full(pid, limit)
        acks = scene.ledger.acks
        latecomer.start()
        pause(scene, *CROWDED_S)
        more = scene.ledger.acks - acks
    scene.heal()
    refused = _refusals(scene) - before
    scene.wait_online()
    if not more:
        scene.ledger.odd("nothing was acknowledged while there were no descriptors")
    return f"all {limit} descriptors taken, {more} acknowledged" if full and refused else ""


@contextlib.contextmanager
def _strangers(scene: Scene) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(STRANGERS):
            stack.enter_context(socket.create_connection(scene.server.address, 5))
        yield


def _wait_until_full(pid: int, limit: int) -> bool:
    give_up_s = time.monotonic() + 5
    while open_descriptors(pid) < limit:
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.02)
    return True


def _refusals(scene: Scene) -> int:
    return scene.server.log_text().count("cannot accept")


# --- memory ---------------------------------------------------------------------------------------

_STARVED: Final = re.compile(r"MemoryError|Cannot allocate memory|out of memory", re.IGNORECASE)
_BEGINS: Final = re.compile(r"\d{4}-\d\d-\d\d ")
"""A record of the log begins with its date; a traceback goes on for lines without one."""


class StarvingServer(Server):
    """One from which memory is taken: a traceback that ends with its lack is no blunder."""

    def log_text(self) -> str:
        """Read its log without the records that speak of memory."""
        return "\n".join(record for record in self._records() if not _STARVED.search(record))

    def starved(self) -> int:
        """Count the records that speak of memory."""
        return sum(bool(_STARVED.search(record)) for record in self._records())

    def _records(self) -> list[str]:
        """Give the records of its log, each with its traceback."""
        found: list[str] = []
        for line in super().log_text().splitlines():
            if _BEGINS.match(line) or not found:
                found.append(line)
            else:
                found[-1] += "\n" + line
        return found


def run_memory(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """The server may drop connections, or end; what it has acknowledged has to be there.

    Each cycle begins with a restart.
    """
    server = StarvingServer(directory / "server")
    with Scene(directory, seed, server=server) as scene:
        return run_spells(scene, "memory", cycles, lambda scene, _: _starve(scene, server), report)


def _starve(scene: Scene, server: StarvingServer) -> str:
    server.stop()  # what a process has had once it keeps: only a fresh one can be short of memory
    server.start()
    scene.wait_online()
    before = server.starved()
    with little_memory(server.pid, scene.chance.randint(*MORE_BYTES)):
        for _ in range(PRESSED):
            writer, reader = scene.chance.sample(scene.people, 2)
            if writer.name != reader.name:
                scene.say(writer, reader.name, PRESSED_BYTES)
        pause(scene, *STARVED_S)
    scene.heal()
    starved = server.starved() - before
    died = not server.is_up
    if died:
        _restart(scene, server)
    scene.wait_online()
    if not starved and not died:
        return ""
    return f"memory was refused {starved} times, the server {'died' if died else 'lived'}"


def _restart(scene: Scene, server: Server) -> None:
    with contextlib.suppress(Ended):
        server.wait(5)
    server.start()


FAULTS: Final = (
    Fault(
        name="descriptors",
        description="no descriptors left: strangers hold the last ones",
        run=run_descriptors,
    ),
    Fault(
        name="memory",
        description="no memory left for the server while long messages come",
        run=run_memory,
    ),
)
