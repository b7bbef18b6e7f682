"""Schedules: made from a seed, worded and read, shrunk."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reliability.seeded import shrink
from reliability.simulate.schedule import (
    CLIMATES,
    LONGEST,
    SCRIPT,
    SHORTEST,
    Kind,
    Schedule,
    make,
)


def test_a_seed_always_gives_the_same_schedule() -> None:
    assert make(7) == make(7)
    assert make(7) != make(7 + len(CLIMATES))


def test_seeds_take_turns_through_the_climates_and_every_kind_happens() -> None:
    schedules = [make(seed) for seed in range(600)]
    assert {schedule.climate.name for schedule in schedules} == {c.name for c in CLIMATES}
    assert {kind for schedule in schedules for kind, _ in schedule.steps} == set(Kind)
    assert all(SHORTEST <= len(schedule.steps) <= LONGEST for schedule in schedules)


@pytest.mark.parametrize("seed", range(len(CLIMATES)))
def test_what_is_printed_can_be_read_again(seed: int) -> None:
    assert SCRIPT.read(SCRIPT.worded(make(seed))) == make(seed)


@pytest.mark.parametrize("text", ["", "0/1 dance:3", "x/1 move:2", "0/1 move:x"])
def test_nonsense_is_no_schedule(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SCRIPT.read(text)


def test_shrinking_leaves_only_what_is_needed() -> None:
    schedule = make(11)
    needed = {schedule.steps[3], schedule.steps[-2]}

    def fails(candidate: Schedule) -> bool:
        return needed <= set(candidate.steps)

    assert set(shrink(schedule, fails).steps) == needed


def test_a_schedule_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from reliability.simulate.schedule import make\n"
        "from reliability.simulate.world import World\n"
        "for seed in range(30):\n"
        "    world = World(make(seed)); world.run(); print(world.history)\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert outputs[0].count(b"Displayed") > 30
