"""Make the cast, and run scenarios with it."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from unittest import mock

import msgspec

from jim.client.device_store import DeviceStore
from reliability.virtual.cast import DEVICES, Cast, empty_cast, tmpfs
from reliability.virtual.scenario import Conditions, Scenario, draw
from reliability.virtual.world import Result, World

MAKING_S = 60.0
"""Virtual seconds within which everybody has registered; it takes two."""


@functools.cache
def the_cast() -> Cast:
    """Let everybody register, once in this process.

    Nobody says what their device is called: the server of a run has the accounts alone, and would
    know nothing of messages that the disks have.
    """
    with mock.patch.object(DeviceStore, "_tell_name", return_value=None):
        return _make_cast()


def _make_cast() -> Cast:
    cast = empty_cast()
    world = World(Scenario(seed=0, conditions=Conditions(), actions=[]), cast)
    try:
        world.start_server()
        for device in DEVICES:
            person = world.add_person(device, new=True)
            name, _, index = device.partition("/")
            if index != "1":
                person.words = world.people[f"{name}/1"].new_words
            person.begin_life()
            # The same loop runs on: bound as an argument, since the person changes.
            if not world.scheduler.run_until(
                functools.partial(_is_in, world, device), MAKING_S, 10**6
            ):
                raise RuntimeError(f"{device} did not get in")
        first = world.people[DEVICES[0]]
        first.crash(power=False)  # so that it learns of its second device now, not in every run
        first.begin_life()
        if not world.scheduler.run_until(lambda: first.is_quiet, MAKING_S, 10**6):
            raise RuntimeError("the first device did not come back")
        cast.images = {device: person.disk.image() for device, person in world.people.items()}
        cast.arrivals = world.arrivals
    finally:
        world.destroy()
    return cast


def _is_in(world: World, device: str) -> bool:
    person = world.people[device]
    return person.is_quiet and (person.new_words is not None or person.words is not None)


def play(scenario: Scenario, tail_lines: int = 0) -> Result:
    """Run a scenario in a world of its own."""
    cast = the_cast()
    if not scenario.conditions.fresh:
        return _play(scenario, cast, DEVICES, tail_lines)
    with tempfile.TemporaryDirectory(prefix="jim-virtual-", dir=tmpfs()) as folder:
        newcomers = tuple(device for device in DEVICES if device.endswith("/1"))
        empty = msgspec.structs.replace(cast, directory=Path(folder), images={}, arrivals=[])
        return _play(scenario, empty, newcomers, tail_lines)


def play_seed(seed: int, tail_lines: int = 0) -> Result:
    """Run the scenario of a seed."""
    return play(draw(seed), tail_lines)


def _play(scenario: Scenario, cast: Cast, devices: tuple[str, ...], tail_lines: int) -> Result:
    world = World(scenario, cast, tail_lines)
    try:
        for device in devices:
            world.add_person(device, new=scenario.conditions.fresh)
        return world.run()
    finally:
        world.destroy()
