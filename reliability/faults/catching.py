"""Planted bugs at the layer of real processes: which fault catches each of them, and how fast."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from reliability.faults import disk_errors, front_ends, plants, power_cut
from reliability.faults.model import Result, Stopwatch
from reliability.faults.registry import load
from reliability.injectors.system import missing
from reliability.rig.programs import Launch

Run = Callable[[int, Path, Launch], Result]
"""Takes a seed, an empty directory, and how the program with the bug in it is started."""

CUTS: Final = 8
"""Power cuts at most: a store that does not flush loses something in the first or second."""

FLUSHES: Final = 2
"""That fail at most: the first one of a log may be none of a commit, and the second is one of the
middle of the traffic."""

TRIES: Final = 3
"""Seeds at most. What is broken before the first ✓ of a run cannot break the promise, and the first
cut comes after 20 ms of traffic on occasion."""

SHOWN_CHARACTERS: Final = 60
"""Of a violation, in a table."""

NOT_KEPT: Final = (
    "strange: .* was acknowledged and is not kept for ",
    "strange: .* saw ✓ for its number ",
    "strange: the store is damaged: ",
    r"strange: cycle \d+: \w+ ended: the proof of identity was not accepted",
)
"""What is said of a store that lacks what was acknowledged: by `rig.shelf.broken_promises`, and by
people whose accounts are gone (a cut may come before the first ✓, never before the names)."""

WENT_ON: Final = (
    "strange: the server goes on after the error",
    *("lost: ", "disagreement: ", "doubled: ", "order: ", "sender_order: ", "gap: "),
)
"""Of a server that does not know what is on its disk, and gives the same numbers and places out
again."""


FRONT_END_CYCLES: Final = 8
"""At most, of front ends: most are killed in the middle of what they print."""


class ProcessPlant(Struct, frozen=True):
    """A bug in a running program.

    Attributes:
        story: what goes wrong.
        fault: name of the fault that has to catch it.
        run: breaks things with the bug in, for a seed.
        expected: what the violations that catch it begin with, as regular expressions. Anything
            else, for example a server that does not even start, is another bug.
        environment: of the program, with the bug in it; takes a directory for what it needs.
        needs: of the machine, beside what the fault needs.
    """

    story: str
    fault: str
    run: Run
    expected: tuple[str, ...]
    environment: Callable[[Path], dict[str, str]]
    needs: tuple[str, ...] = ()

    def missing(self) -> str:
        """Name what this machine lacks; empty if nothing."""
        return missing(*load()[self.fault].needs, *self.needs)


class Found(Struct, frozen=True):
    """How a bug was caught; `rule` is empty if it was not, and `instead` says what was seen."""

    rule: str
    cycle: int
    seconds_s: float
    instead: str = ""


def _cut(seed: int, directory: Path, launch: Launch) -> Result:
    return power_cut.run_server_cuts(CUTS, seed, directory, lambda _: None, launch)


def _fail_flush(seed: int, directory: Path, launch: Launch) -> Result:
    return disk_errors.run_fsync_eio(FLUSHES, seed, directory, lambda _: None, launch)


def _kill_front_ends(seed: int, directory: Path, launch: Launch) -> Result:
    return front_ends.run_front_ends(FRONT_END_CYCLES, seed, directory, lambda _: None, launch)


PLANTS: Final = {
    "eatmydata": ProcessPlant(
        "flushing the server's disk does nothing and says that it did",
        "power_cut",
        _cut,
        NOT_KEPT,
        lambda _: plants.lying_fsync(),
        ("libeatmydata",),
    ),
    "synchronous_off": ProcessPlant(
        "the server's database never flushes",
        "power_cut",
        _cut,
        NOT_KEPT,
        lambda directory: plants.careless_sqlite(directory, "OFF"),
    ),
    "synchronous_normal": ProcessPlant(
        "the server's database flushes at checkpoints only",
        "power_cut",
        _cut,
        NOT_KEPT,
        lambda directory: plants.careless_sqlite(directory, "NORMAL"),
    ),
    "failed_flush_ignored": ProcessPlant(
        "the server goes on after a flush has failed",
        "fsync_eio",
        _fail_flush,
        (*WENT_ON, *NOT_KEPT),
        plants.deaf_sqlite,
    ),
    "shown_is_not_noted": ProcessPlant(
        "front ends do not note what they have shown",
        "front_ends",
        _kill_front_ends,
        ("doubled: ",),
        plants.shown_is_not_noted,
    ),
    "noted_before_shown": ProcessPlant(
        "front ends note a message before they print it",
        "front_ends",
        _kill_front_ends,
        ("strange: it did not settle .*; acknowledged, not shown: ",),
        plants.noted_before_shown,
    ),
    "send_without_key": ProcessPlant(
        "`jim send --id` sends again what was sent under the same key",
        "front_ends",
        _kill_front_ends,
        ("strange: .* as number ", "doubled: "),
        plants.send_without_key,
    ),
}


def catch(name: str, directory: Path) -> Found:
    """Start a program with a bug in it and break things until it shows."""
    plant = PLANTS[name]
    launch = Launch(env=plant.environment(directory / "plant"))
    watch, result = Stopwatch(), Result()
    for seed in range(1, TRIES + 1):
        scene = directory / f"scene-{seed}"
        scene.mkdir()
        result = plant.run(seed, scene, launch)
        if rule := caught(result, plant.expected):
            # One that could not be completed is not in `cycles`.
            return Found(rule, max(1, result.cycles), watch.seconds_s)
    return Found("", result.cycles, watch.seconds_s, _shown(next(iter(result.violations), "")))


def caught(result: Result, expected: tuple[str, ...]) -> str:
    """Give the first expected violation in short; empty if nothing was broken, or something else.

    Nothing counts before the fault has fired for the first time: what is wrong then is wrong
    without it.
    """
    if not result.fired:
        return ""
    patterns = [re.compile(pattern) for pattern in expected]
    found = (text for text in result.violations if any(pattern.match(text) for pattern in patterns))
    return _shown(next(found, ""))


def _shown(violation: str) -> str:
    return violation.removeprefix("strange: ")[:SHOWN_CHARACTERS]
