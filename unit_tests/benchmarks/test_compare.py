from __future__ import annotations

import pytest

from benchmarks import compare
from benchmarks.rounds import QUICK, WAITING, Pace


def test_the_pace_is_what_the_arguments_say() -> None:
    options = compare.parsed(["--seconds", "1.5", "--warm", "0.2", "--rounds", "2"])
    assert compare.pace_of(options) == Pace(0.2, 1.5, 2, waiting=WAITING)


def test_quick_is_quick_unless_more_is_to_wait() -> None:
    assert compare.pace_of(compare.parsed(["--quick"])) == QUICK
    found = compare.pace_of(compare.parsed(["--quick", "--waiting", "777"]))
    assert (found.waiting, found.rounds) == (777, QUICK.rounds)


def test_nothing_cannot_wait() -> None:
    with pytest.raises(SystemExit):
        compare.parsed(["--waiting", "0"])


def test_systems_are_chosen_by_their_keys_and_their_server_comes_once() -> None:
    assert len(compare.chosen("jim")) == 1
    with pytest.raises(SystemExit, match="no system redmine"):
        compare.chosen("jim,redmine")
