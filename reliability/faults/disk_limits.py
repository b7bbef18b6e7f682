"""Disks that are full or cannot be written any more, under the server and under a client."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from reliability.faults.model import Fault
from reliability.faults.spells import await_end, run_spells
from reliability.injectors.signals import frozen
from reliability.injectors.small_disk import FAILING_NEEDS, TINY_NEEDS, FailingDisk, TinyDisk
from reliability.rig.programs import DEADLINE_S, Ended
from reliability.rig.scene import Scene
from reliability.rig.server import Server

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.faults.model import Report, Result

KIB: Final = 1024

ROOMY_BYTES: Final = 64 * KIB * KIB
"""What the disk has at first, and what somebody gives it who has noticed: more than a run fills."""

LEFT_BYTES: Final = (0, 48 * KIB)
"""What is left of it when it turns tiny: from nothing to a few transactions."""

FULL_WITHIN_S: Final = 15.0
"""Traffic fills what is left within a second."""

LIVES_S: Final = 2.0
"""Under traffic, on a disk that had no room before the start."""

FULL: Final = "the disk is full"
UNWRITABLE: Final = "cannot write"
"""What is said on the screen has to name the reason."""


# --- the server's disk ----------------------------------------------------------------------------


def run_tiny_disk(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """The disk fills up: the server ends and says why; with more room it has every message."""
    with TinyDisk(directory / "tiny", ROOMY_BYTES) as disk:
        server = Server(directory / "server", data_dir=disk.place)
        with Scene(directory, seed, server=server) as scene:
            return run_spells(scene, "disk full", cycles, lambda s, _: _fill(s, disk), report)


def _fill(scene: Scene, disk: TinyDisk) -> str:
    scene.server.stop()  # puts the log into the database: a long one has room of its own
    _restart(scene)
    disk.shrink_to_free(scene.chance.randint(*LEFT_BYTES))
    seen = _ended(scene, FULL)
    _check_refusal(scene, FULL, may_live=True)
    disk.resize(ROOMY_BYTES)
    scene.heal()
    _restart(scene)
    return seen


def run_read_only(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """The file system goes read-only, as ext4 does after an error, and is repaired."""
    with FailingDisk(directory / "failing", directory / "failing.image") as disk:
        server = Server(directory / "server", data_dir=disk.place / "data")
        with Scene(directory, seed, server=server) as scene:
            return run_spells(scene, "read only", cycles, lambda s, _: _break(s, disk), report)


def _break(scene: Scene, disk: FailingDisk) -> str:
    scene.ledger.wait(lambda: False, scene.chance.uniform(0.05, 0.5))
    # No flush may be under way at that moment: ext4 calls it done, and its data are gone (seen on
    # Linux 6.18 with a bare SQLite, in 8 of 120 runs; in none of 100 this way).
    with frozen(scene.server.pid):
        disk.fail()
    seen = _ended(scene, UNWRITABLE)
    _check_refusal(scene, UNWRITABLE)
    disk.mend()
    scene.heal()
    _restart(scene)
    return seen


def _ended(scene: Scene, reason: str) -> str:
    """Wait until the server has ended over its disk; gives its words, if they name the reason."""
    server = scene.server
    if not await_end(scene, FULL_WITHIN_S):
        server.kill()
        return ""
    status = server.wait()
    if status != 1 or reason not in server.complaint:
        scene.ledger.odd(f"the server ended with {status}: {server.complaint}")
        return ""
    return server.complaint.splitlines()[-1]


def _check_refusal(scene: Scene, reason: str, *, may_live: bool = False) -> None:
    """See that the server does not come back while the disk is as it is, or ends again over it.

    On a full disk it may live: opening the database moves the log into it, which makes room.
    """
    server = scene.server
    with contextlib.suppress(Ended):
        server.start()
    if not await_end(scene, LIVES_S if may_live else FULL_WITHIN_S) and may_live:
        server.kill()
        return
    with contextlib.suppress(Ended):
        server.wait(DEADLINE_S if not server.is_up else 0.1)
    if server.status != 1 or reason not in server.complaint:
        told = f"ended with {server.status}: {server.complaint}"
        scene.ledger.odd(f"with its disk as it is the server {told}")


def _restart(scene: Scene) -> None:
    scene.server.start()
    scene.wait_online()


# --- a client's disk ------------------------------------------------------------------------------


def run_client_tiny_disk(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """A client's disk fills up: it says so and stops; with more room it goes on where it was."""
    with TinyDisk(directory / "tiny", ROOMY_BYTES) as disk, Scene(directory, seed) as scene:
        scene.people[-1].data_dir = disk.place / "data"
        return run_spells(
            scene, "client's disk full", cycles, lambda s, _: _fill_client(s, disk), report
        )


def _fill_client(scene: Scene, disk: TinyDisk) -> str:
    person = scene.people[-1]
    disk.shrink_to_free(scene.chance.randint(*LEFT_BYTES))
    scene.ledger.wait(lambda: bool(person.fatal), FULL_WITHIN_S)
    complaint = person.fatal
    person.quit()
    disk.resize(ROOMY_BYTES)
    scene.heal()
    person.start()
    scene.wait_online()
    if complaint and FULL not in complaint:
        scene.ledger.odd(f"with a full disk {person.name} was told: {complaint}")
        return ""
    return complaint


FAULTS: Final = (
    Fault(
        name="tiny_disk",
        description="the server's disk fills up",
        run=run_tiny_disk,
        needs=TINY_NEEDS,
    ),
    Fault(
        name="read_only",
        description="the server's file system meets an error and goes read-only",
        run=run_read_only,
        needs=FAILING_NEEDS,
    ),
    Fault(
        name="client_tiny_disk",
        description="a client's disk fills up",
        run=run_client_tiny_disk,
        needs=TINY_NEEDS,
    ),
)
