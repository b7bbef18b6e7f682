"""Power cuts: what was flushed is there afterwards, and nothing else is.

Whose disk it is gets frozen first, in the middle of whatever it does. In half of the server's cuts
every ✓ that it has sent is collected before the power goes, in the others they are under way.

The kernel cannot be shut down under a process that flushes: ext4 lets an `fdatasync` succeed whose
blocks the shutdown has taken away. A loop of `pwrite` behind the end of a file and `fdatasync` was
told once too often in 155 of 1,500 cuts (Linux 6.18). A frozen process has no flush under way.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import Plan
from reliability.faults.model import Fault, Report, Result, Stopwatch
from reliability.injectors.signals import freeze
from reliability.kernel import held_for
from reliability.rig import shelf
from reliability.rig.disk import Disk
from reliability.rig.programs import PLAIN, Launch
from reliability.rig.scene import Scene
from reliability.rig.server import Server

if TYPE_CHECKING:
    from pathlib import Path

KIND: Final = "power_cut"

TRAFFIC_S: Final = (0.02, 0.3)
"""From the start of traffic to the cut: from the first commit to a few dozen."""

CAST: Final = ("anna", "boris", "boris")
"""Two people, one of them with two devices."""

PAIR: Final = ("anna", "boris")
"""Who writes where the clients' own disk is cut: all of them start again in each cycle."""

DRAIN_S: Final = 2.0
"""For clients to read what the frozen server has sent: it takes milliseconds."""


def run_server_cuts(
    cycles: int, seed: int, directory: Path, report: Report, launch: Launch = PLAIN
) -> Result:
    """Cut the power of the server's disk; `launch` is where a test plants a bug in the server."""
    watch, result = Stopwatch(), Result()
    with Disk(directory) as disk:
        server = Server(directory / "server", data_dir=disk.path / "data", launch=launch)
        with Scene(directory, seed, server=server, cast=CAST) as scene:
            Plan(scene, KIND, cycles, report).run(result, lambda: _cut_server(scene, disk))
    result.seconds_s = watch.seconds_s
    return result


def _cut_server(scene: Scene, disk: Disk) -> None:
    """Cut, compare the store with what was promised, and start again if that was kept."""
    scene.start_traffic()
    scene.ledger.wait(lambda: False, scene.chance.uniform(*TRAFFIC_S))
    freeze(scene.server.pid)
    if is_drained := scene.chance.random() < 0.5:
        _drain(scene)
    disk.cut()
    scene.ledger.fault(KIND, "read" if is_drained else "under way", fired=_is_dead(disk))
    scene.server.kill()
    scene.stop_traffic()
    for person in scene.people:
        person.sync()
    disk.power_up()
    found = shelf.read(scene.server.database, scene.directory / "copy")
    if broken := shelf.broken_promises(scene.ledger, found):
        for text in broken:
            scene.ledger.odd(text)
        return
    scene.heal()
    scene.server.start()
    scene.wait_online()


def _drain(scene: Scene) -> None:
    """Let the clients read everything that the frozen server has sent, and tell it."""
    give_up_s = time.monotonic() + DRAIN_S
    while _has_unread(scene.server.port) and time.monotonic() < give_up_s:
        time.sleep(0.002)
    for person in scene.people:
        person.sync()


def _has_unread(port: int) -> bool:
    """Tell whether a client has something waiting for it; they are all at 127.0.0.1."""
    return any(each.unread_bytes for each in held_for(0, port).values())


def _is_dead(disk: Disk) -> bool:
    """See that nothing can be written any more."""
    try:
        (disk.path / "probe").write_bytes(b"x")
    except OSError:
        return True
    return False


def run_client_cuts(
    cycles: int, seed: int, directory: Path, report: Report, launch: Launch = PLAIN
) -> Result:
    """Cut the power of the clients' disk; `launch` is where a test plants a bug in them."""
    watch, result = Stopwatch(), Result()
    with Disk(directory) as disk, Scene(directory, seed, cast=PAIR, launch=launch) as scene:
        for number, person in enumerate(scene.people):
            person.data_dir = disk.path / f"data-{number}"
        Plan(scene, KIND, cycles, report).run(result, lambda: _cut_clients(scene, disk))
    result.seconds_s = watch.seconds_s
    return result


def _cut_clients(scene: Scene, disk: Disk) -> None:
    """Cut, start again, and compare the stores with what was shown."""
    since = [person.highest_id for person in scene.people]
    scene.start_traffic()
    scene.ledger.wait(lambda: False, scene.chance.uniform(*TRAFFIC_S))
    for person in scene.people:
        freeze(person.pid)
    disk.cut()
    scene.ledger.fault(KIND, fired=_is_dead(disk))
    for person in scene.people:
        person.kill()
    scene.stop_traffic()
    disk.power_up()
    known = [person.known_ids(after) for person, after in zip(scene.people, since, strict=True)]
    scene.heal()
    for person in scene.people:
        person.start()
    scene.wait_online()
    for person, ids, after in zip(scene.people, known, since, strict=True):
        if gone := person.missing_from_store(ids, after):
            scene.ledger.odd(f"{person.device} has lost {', '.join(gone[:5])}")


FAULTS: Final = (
    Fault(
        name="power_cut",
        description="the power of the server's disk is cut (ext4 shutdown on a loop mount)",
        run=run_server_cuts,
        needs=("root", "mkfs.ext4", "losetup"),
        short=20,
    ),
    Fault(
        name="power_cut_client",
        description="the power of the clients' disk is cut",
        run=run_client_cuts,
        needs=("root", "mkfs.ext4", "losetup"),
        short=10,
    ),
)
