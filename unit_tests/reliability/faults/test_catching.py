"""What counts as catching a planted bug: what the bug does, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.faults import catching
from reliability.faults.catching import NOT_KEPT, WENT_ON, ProcessPlant, caught
from reliability.faults.model import Result

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.rig.programs import Launch

LOST = "strange: m1 was acknowledged and is not kept for aaaa"


def test_a_run_that_only_proved_nothing_has_caught_nothing() -> None:
    vacuous = "vacuous: no cut fired"
    assert caught(Result(cycles=1, fired=1, violations=[vacuous]), NOT_KEPT) == ""
    found = caught(Result(cycles=1, fired=1, violations=[vacuous, LOST]), NOT_KEPT)
    assert found == "m1 was acknowledged and is not kept for aaaa"


def test_only_what_the_bug_does_counts() -> None:
    other = Result(cycles=2, fired=2, violations=["strange: cycle 2: the server has ended"])
    assert caught(other, NOT_KEPT) == ""
    went_on = Result(cycles=1, fired=1, violations=["disagreement: place 3 of a and of b"])
    assert caught(went_on, NOT_KEPT) == ""
    assert caught(went_on, WENT_ON) == "disagreement: place 3 of a and of b"


def test_nothing_counts_before_anything_was_broken() -> None:
    assert caught(Result(cycles=1, fired=0, violations=[LOST]), NOT_KEPT) == ""


def planted(monkeypatch: pytest.MonkeyPatch, *results: Result) -> list[int]:
    """Plant a bug whose runs come to these results; gives the seeds that were tried."""
    seeds: list[int] = []

    def run(seed: int, directory: Path, launch: Launch) -> Result:
        assert not any(directory.iterdir())
        assert launch.env == {"PLANTED": "1"}
        seeds.append(seed)
        return results[seed - 1]

    plant = ProcessPlant("a story", "kill", run, NOT_KEPT, lambda _: {"PLANTED": "1"})
    monkeypatch.setitem(catching.PLANTS, "invented", plant)
    return seeds


def test_another_seed_is_tried_when_the_first_met_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    early = Result(cycles=0, fired=1, violations=["strange: cycle 1: anna ended"])
    seeds = planted(monkeypatch, early, Result(cycles=4, fired=4, violations=[LOST]))
    found = catching.catch("invented", tmp_path)
    assert (found.rule[:2], found.cycle, seeds) == ("m1", 4, [1, 2])


def test_a_server_that_never_starts_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dead = Result(violations=["strange: cycle 1: no line matches", "vacuous: nothing acknowledged"])
    seeds = planted(monkeypatch, dead, dead, dead)
    found = catching.catch("invented", tmp_path)
    assert (found.rule, found.instead) == ("", "cycle 1: no line matches")
    assert seeds == [1, 2, 3]


@pytest.mark.e2e
@pytest.mark.skipif(
    bool(catching.PLANTS["synchronous_off"].missing()), reason="needs a disk that can be cut"
)
def test_a_real_server_that_does_not_start_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit(3)")
    usual = catching.PLANTS["synchronous_off"]
    env = {"PYTHONPATH": str(tmp_path)}
    broken = ProcessPlant(usual.story, usual.fault, usual.run, usual.expected, lambda _: env)
    monkeypatch.setitem(catching.PLANTS, "synchronous_off", broken)
    found = catching.catch("synchronous_off", tmp_path)
    assert found.rule == ""
    assert "status 3" in found.instead or "no line matches" in found.instead
