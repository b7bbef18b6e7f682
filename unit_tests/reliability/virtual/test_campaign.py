"""Many runs, on several processes, and failures made small."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reliability.virtual.__main__ import main
from reliability.virtual.campaign import explain, run_seeds, shrink
from reliability.virtual.edges import replaced
from reliability.virtual.plants import PLANTS
from reliability.virtual.play import play_seed
from reliability.virtual.scenario import Action, Conditions, Scenario

if TYPE_CHECKING:
    import pytest


def test_several_processes_give_what_one_gives() -> None:
    seeds = range(40, 60)
    several = {result.seed: result.digest for result in run_seeds(seeds, 2)}
    with replaced():
        assert several == {seed: play_seed(seed).digest for seed in seeds}


def test_shrinking_leaves_what_the_failure_needs() -> None:
    actions = [Action(at_s=at_s, kind=kind) for at_s, kind in enumerate("abcdefgh")]
    scenario = Scenario(seed=1, conditions=Conditions(), actions=actions)

    def fails(candidate: Scenario) -> bool:
        kinds = [action.kind for action in candidate.actions]
        return "c" in kinds and "g" in kinds

    assert [action.kind for action in shrink(scenario, fails).actions] == ["c", "g"]
    assert shrink(scenario, fails, limit_s=0.0) == scenario


def test_a_failure_is_explained() -> None:
    with PLANTS["reversed_read"]():
        text = explain(1, "lost", tail_lines=5)
    assert re.match(r"seed 1, shrunk to \d+ actions; it breaks:\n  lost: ", text)
    assert "send" in text
    assert "Settled" in text


def test_the_program_says_how_much_it_has_proved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "12", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "12/12 runs" in out
    assert "runs with violations: 0 of 12: below 0.22 with 95 % confidence" in out


def test_the_program_fails_where_something_is_violated(capsys: pytest.CaptureFixture[str]) -> None:
    with PLANTS["reversed_read"]():
        assert main(["--runs", "1", "--seed", "1"]) == 1
    assert "seed 1: lost: " in capsys.readouterr().out


def test_the_program_shows_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", "--seed", "5"]) == 0
    out = capsys.readouterr().out
    assert "Written" in out
    assert "fingerprint" in out


def test_the_program_shows_that_a_planted_bug_is_caught(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--plant", "leak"]) == 0
    assert "1 of 1 caught" in capsys.readouterr().out
