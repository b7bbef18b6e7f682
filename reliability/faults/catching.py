"""Planted bugs at the layer of real processes: which fault catches each of them, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reliability.faults import disk_errors, plants, power_cut
from reliability.faults.registry import load
from reliability.injectors.system import missing
from reliability.rig.programs import Launch

if TYPE_CHECKING:
    from reliability.faults.model import Result

CUTS: Final = 8
"""Power cuts at most: a store that does not flush loses something in the first or second."""

SHOWN_CHARACTERS: Final = 60
"""Of a violation, in a table."""


class ProcessPlant(Struct, frozen=True):
    """A bug in a running program.

    Attributes:
        story: what goes wrong.
        fault: the fault that has to catch it.
        needs: of the machine, beside what the fault needs.
        environment: of the server, with the bug in it; takes a directory for what it needs.
    """

    story: str
    fault: str
    environment: Callable[[Path], dict[str, str]]
    needs: tuple[str, ...] = ()

    def missing(self) -> str:
        """Name what this machine lacks; empty if nothing."""
        return missing(*load()[self.fault].needs, *self.needs)


class Found(Struct, frozen=True):
    """How a bug was caught; `rule` is empty if it was not."""

    rule: str
    cycle: int
    seconds_s: float


PLANTS: Final = {
    "eatmydata": ProcessPlant(
        "flushing the server's disk does nothing and says that it did",
        "power_cut",
        lambda _: plants.lying_fsync(),
        ("libeatmydata",),
    ),
    "synchronous_off": ProcessPlant(
        "the server's database never flushes",
        "power_cut",
        lambda directory: plants.careless_sqlite(directory, "OFF"),
    ),
    "synchronous_normal": ProcessPlant(
        "the server's database flushes at checkpoints only",
        "power_cut",
        lambda directory: plants.careless_sqlite(directory, "NORMAL"),
    ),
    "failed_flush_ignored": ProcessPlant(
        "the server goes on after a flush has failed", "fsync_eio", plants.deaf_sqlite
    ),
}


def catch(name: str, directory: Path) -> Found:
    """Start the server with a bug in it and break things until it shows."""
    plant = PLANTS[name]
    launch = Launch(env=plant.environment(directory / "plant"))
    scene = directory / "scene"
    scene.mkdir()
    if plant.fault == "fsync_eio":
        result = disk_errors.run_fsync_eio(1, 1, scene, lambda _: None, launch)
    else:
        result = power_cut.run_server_cuts(CUTS, 1, scene, lambda _: None, launch)
    return Found(_rule(result), result.cycles, result.seconds_s)


def _rule(result: Result) -> str:
    """Give the first violation in short; that nothing happened is no finding."""
    real = [text for text in result.violations if not text.startswith("vacuous")]
    return real[0].removeprefix("strange: ")[:SHOWN_CHARACTERS] if real else ""
