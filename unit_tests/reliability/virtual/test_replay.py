"""One seed is one run, in every process; and runs without planted bugs are clean."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reliability.virtual.edges import replaced
from reliability.virtual.play import play, play_seed
from reliability.virtual.scenario import FAULTS, Action, Conditions, Scenario, draw

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEEDS = (3, 4, 5, 22, 31)
_FRESH = next(seed for seed in range(1000) if draw(seed).conditions.fresh)
_SQLITE = next(seed for seed in range(1000) if draw(seed).conditions.sqlite)


@pytest.fixture(autouse=True)
def virtual() -> Iterator[None]:
    with replaced():
        yield


@pytest.mark.parametrize("seed", [*_SEEDS, _FRESH, _SQLITE])
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    first, second = play_seed(seed), play_seed(seed)
    assert (first.digest, first.notes) == (second.digest, second.notes)
    assert first.notes > 500
    assert first.counts == second.counts


def test_other_seeds_give_other_runs() -> None:
    assert len({play_seed(seed).digest for seed in _SEEDS}) == len(_SEEDS)


def test_the_same_seed_gives_the_same_run_in_another_process() -> None:
    seeds = [*_SEEDS, _FRESH, _SQLITE]
    code = (
        "from reliability.virtual.edges import replaced\n"
        "from reliability.virtual.play import play_seed\n"
        "with replaced():\n"
        f"    print([play_seed(seed).digest for seed in {seeds}])\n"
    )
    answers = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answers.add(done.stdout.strip())
    assert answers == {str([play_seed(seed).digest for seed in seeds])}


def test_twenty_runs_are_clean_and_do_something() -> None:
    results = [play_seed(seed) for seed in range(200, 220)]
    assert [violation for result in results for violation in result.violations] == []
    assert sum(result.counts.acked for result in results) > 100
    assert sum(sum(result.counts.faults.values()) for result in results) > 40


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_of_fault_takes_effect_and_breaks_nothing(kind: str) -> None:
    actions = [
        Action(at_s=0.8, kind="send", who="boris/1", to="anna", size=3000, flag=True),
        Action(at_s=0.81, kind=kind, who=_victim(kind), seconds=1.0),
        Action(at_s=6.0, kind="send", who="boris/1", to="anna"),
    ]
    result = play(Scenario(seed=1, conditions=Conditions(), actions=actions))
    assert result.violations == []
    assert result.counts.faults[kind] == 1
    assert result.counts.acked == result.counts.written >= 5


def _victim(kind: str) -> str:
    return "server" if kind.startswith(("server", "disk")) else "anna/1"
