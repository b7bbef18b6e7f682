"""Devices that seal under schedules: clean seeds, planted bugs, what a failing seed prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.plants import replaced
from reliability.sealed import running, world
from reliability.sealed.__main__ import main
from reliability.sealed.book import RULES
from reliability.sealed.client import Client
from reliability.sealed.plants import PLANTS, Bug
from reliability.sealed.schedule import CLIMATES, SCRIPT, Schedule, make
from reliability.sealed.world import FAULTS, World
from reliability.seeded import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = 24
"""Here only a taste, four of each climate; `make faults` runs more (docs/reliability.md)."""

pytestmark = pytest.mark.timeout(240)


def named(name: str) -> Bug:
    return next(plant for plant in PLANTS if plant.name == name)


def test_no_seed_breaks_a_rule_and_enough_happens() -> None:
    tally = running.run_chunk(0, SEEDS)
    assert tally.failures == []
    assert tally.runs == SEEDS
    assert min(tally.counts[each] for each in ("written", "stored", "shown")) > 5 * SEEDS
    assert tally.counts["fallback keys"]
    assert tally.counts["crash"]
    assert tally.counts["lies"]


def test_a_seed_does_the_same_every_time() -> None:
    runs = []
    for _ in range(2):
        found = World(make(4))
        found.run()
        runs.append(found.book.trace)
    assert runs[0] == runs[1]


def test_a_schedule_is_read_as_it_was_printed() -> None:
    for seed in range(6):
        assert SCRIPT.read(SCRIPT.worded(make(seed))) == make(seed)
    with pytest.raises(ValueError, match="no kind"):
        SCRIPT.read("0/1 dance:3")


def test_in_the_first_climates_nothing_lies_and_nobody_goes_back() -> None:
    for climate in CLIMATES[:2]:
        assert climate.weights[-6:-1] == (0,) * 5
    assert len({len(climate.weights) for climate in CLIMATES}) == 1


def test_there_are_enough_planted_bugs_and_each_has_a_name_of_its_own() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= 14


# All of them: `python -m reliability.planted sealed`.
@pytest.mark.parametrize(
    "name", ["ratchet_not_kept", "count_not_kept", "keys_not_kept", "plain_instead", "never_asks"]
)
def test_a_planted_bug_is_found_by_what_it_breaks(name: str) -> None:
    caught = running.catch(named(name), 60.0)
    assert caught.rule in set(RULES) - {running.EXCEPTION}


def test_a_plant_that_is_not_found_is_said_so() -> None:
    bug = Bug("none", "nothing is wrong", replaced(running), flow="key upload")
    assert running.catch(bug, 60.0).rule == ""


def test_what_the_code_raises_is_a_failure() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jim.client.encryption.vault.Vault.seal", None)
        broken = running.judge(make(0))
    assert broken[-1][0] == running.EXCEPTION
    assert "TypeError" in broken[-1][1]


def test_what_never_comes_to_rest_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "MOST_ROUNDS", 3)
    monkeypatch.setattr(Client, "connect", lambda _: True)
    broken = running.judge(Schedule(CLIMATES[0], 0, ()))
    assert broken[0][0] == "restless"


GONE = "2/971578340 write:119898576 lose:396980756 connect:97103166 revoke:417252550"
"""Shrunk from seed 92: the answer with a device's key is lost, and then the device is revoked."""


def test_a_device_that_is_gone_does_not_fail_a_text() -> None:
    assert running.judge(SCRIPT.read(GONE)) == []
    with named("removed_device_waited_for").planted():
        assert {rule for rule, _ in running.judge(SCRIPT.read(GONE))} == {"refused"}


def test_what_is_not_met_is_said_of_enough_runs_only() -> None:
    assert running.Tally(runs=running.FAULTS_FROM_RUNS - 1).unmet() == []
    assert set(FAULTS) < set(running.Tally(runs=running.FAULTS_FROM_RUNS).unmet())


def test_a_failing_seed_is_shrunk_and_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = running.Tally(runs=1, failures=[Failure(0, "readable", "there")])

    def run_many(*_: int) -> Iterator[running.Tally]:
        yield failed

    monkeypatch.setattr("reliability.sealed.__main__.run_many", run_many)
    monkeypatch.setattr("reliability.sealed.__main__.shrunk", lambda *_: "0/0 write:1")
    assert main(["--seeds", "1"]) == 1
    printed = capsys.readouterr().out
    assert "shrunk: 0/0 write:1" in printed
    assert "again: python -m reliability.sealed --seed 0" in printed


def test_one_seed_again_shows_its_history(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schedule", "0/0 connect:0 write:8 move:3"]) == 0
    printed = capsys.readouterr().out
    assert "writes 'can-ary 1'" in printed
    assert "nothing was broken" in printed
