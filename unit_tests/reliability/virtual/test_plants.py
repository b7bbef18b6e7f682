"""Bugs that are planted are caught, and only while they are planted."""

from __future__ import annotations

import pytest

from reliability.promise import RULES
from reliability.virtual.edges import replaced
from reliability.virtual.plants import PLANTS, catch
from reliability.virtual.play import play_seed

QUICK = ("reversed_read", "leak", "dedupe_forgotten", "refusal_takes_number")
"""Caught within a second; all of them take minutes (`--plants`)."""


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_caught_and_leaves_nothing_behind(name: str) -> None:
    caught = catch(name)
    assert caught.rule in {*RULES, "unhandled"}
    with replaced():
        assert play_seed(caught.seed).violations == []


def test_a_bug_that_is_none_is_not_caught() -> None:
    missed = catch("lying_disk", first_seed=1, limit_s=0.0)
    assert (missed.rule, missed.runs) == (None, 0)


def test_every_bug_says_what_it_is() -> None:
    assert len(PLANTS) >= 12
    assert all(plant.__doc__ for plant in PLANTS.values())
