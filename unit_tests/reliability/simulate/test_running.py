"""The simulated core: clean seeds, planted bugs, what a failing seed prints."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jim.client import sync
from reliability.simulate import running, world
from reliability.simulate.__main__ import main
from reliability.simulate.client import Client
from reliability.simulate.disks import ServerDisk
from reliability.simulate.plants import PLANTS
from reliability.simulate.schedule import CLIMATES, SCRIPT, Schedule, make
from reliability.simulate.server import Node
from reliability.simulate.world import (
    CLIENT_RESTORED,
    CUT,
    FAULTS,
    HALF_DEAD,
    LATE_WORD,
    LOST_EVENT,
    SERVER_RESTORED,
    SLOW_READER,
    World,
)

if TYPE_CHECKING:
    from reliability.plants import Plant

SEEDS = int(os.environ.get("JIM_TEST_SEEDS", "1200"))
"""Here only a taste; `.ci/run` runs 20,000, a release a million (docs/reliability.md)."""


def test_no_seed_breaks_the_promise_and_enough_happens() -> None:
    tally = running.run_chunk(0, SEEDS)
    assert not tally.failures
    assert tally.runs == SEEDS
    assert min(tally.acked, tally.refused, tally.shown) > SEEDS // 4
    assert set(tally.faults) == set(FAULTS)
    assert not tally.unmet()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CLIENT_RESTORED, "_restore_client"),
        (SERVER_RESTORED, "_restore_server"),
        (SLOW_READER, "_pause"),
        (LOST_EVENT, "_lose_event"),
        (HALF_DEAD, "_abandon"),
        (LATE_WORD, "_haunt"),
        (CUT, "_cut"),
    ],
)
def test_a_step_that_does_nothing_any_more_is_missed(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.setattr(World, name, lambda *_, **__: False)
    monkeypatch.setattr(running, "FAULTS_FROM_RUNS", 60)
    tally = running.run_chunk(0, 60)
    assert kind in tally.unmet()
    assert not tally.failures


@pytest.mark.parametrize(
    ("kind", "disk", "name"),
    [(CLIENT_RESTORED, World, "_replace"), (SERVER_RESTORED, ServerDisk, "restore")],
)
def test_a_restore_of_what_is_there_anyway_is_no_restore(
    monkeypatch: pytest.MonkeyPatch, kind: str, disk: type, name: str
) -> None:
    monkeypatch.setattr(disk, name, lambda *_: None)
    tally = running.run_chunk(0, SEEDS // 4)
    assert not tally.faults[kind]


def test_what_is_not_met_is_said_of_enough_runs_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert running.Tally(runs=running.FAULTS_FROM_RUNS - 1).unmet() == []
    assert running.Tally(runs=running.FAULTS_FROM_RUNS).unmet() == list(FAULTS)
    assert running.Tally(runs=running.NEWS_FROM_RUNS).unmet() == [*FAULTS, *running.NEWS]
    monkeypatch.setattr(running, "FAULTS_FROM_RUNS", 6)
    monkeypatch.setattr(World, "_cut", lambda *_: None)
    assert main(["--seeds", "6"]) == 1
    assert "vacuous: never met in 6 runs: cut" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("owner", "name"), [(World, "_rest"), (Node, "commit"), (Client, "work"), (Client, "read")]
)
def test_what_never_comes_to_rest_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    monkeypatch.setattr(world, "MOST_ROUNDS", 20)
    schedule = Schedule(CLIMATES[0], 1, ())
    assert running.judge(schedule) == []
    monkeypatch.setattr(owner, name, lambda *_: True)
    rule, detail = running.judge(schedule)[0]
    assert rule == "unhandled"
    assert "it never came to rest" in detail


FALSE_TICK = (
    "4/109800727 write:661475141 move:850055779 crash_client:657998464 write:520558673"
    " move:329816490 move:655595988 move:130566726 move:245398819 move:665894668 move:413482551"
    " save:78768467 move:738299762 move:459469133 restore_client:89005775"
)
"""Shrunk from seed 53536: a restored client took for stored a message that had been refused,
because its number belonged to the next one by then."""


def test_a_restored_client_knows_its_messages_by_their_marks() -> None:
    schedule = SCRIPT.read(FALSE_TICK)
    assert running.judge(schedule) == []
    usual = sync.Outbox.welcomed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sync.Outbox, "welcomed", lambda outbox, last_n, _: usual(outbox, last_n))
        assert running.judge(schedule) != []


def test_there_are_enough_planted_bugs_and_each_has_a_name_of_its_own() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= 20


# All of them: `python -m reliability.simulate --plants`, which CI runs.
FOUND_EARLY = (
    *("lying_fsync_of_client", "no_dedupe", "number_gap_accepted", "leak", "text_cut"),
    *("position_reused", "commit_reordered", "another_answer", "cursor_before_messages"),
    *("doubled_on_reconnect", "transmitted_before_release", "tick_at_once", "page_out_of_order"),
)

EARLY = 120
"""Seeds: a few more than the last of these needs."""


@pytest.mark.parametrize("name", FOUND_EARLY)
def test_a_planted_bug_is_found_in_the_first_seeds(name: str) -> None:
    plant = named(name)
    with plant.planted():
        assert running.run_chunk(0, EARLY).failures
    assert not running.run_chunk(0, EARLY).failures, "the bug was not taken out again"


def test_a_failing_seed_is_shrunk_to_few_steps_that_still_fail() -> None:
    with named("doubled_on_reconnect").planted():
        [failure, *_] = running.run_chunk(0, EARLY).failures
        schedule = SCRIPT.read(running.shrunk(failure.seed, failure.rule))
        assert failure.rule in {rule for rule, _ in running.judge(schedule)}
    assert len(schedule.steps) < len(make(failure.seed).steps) // 2
    assert running.judge(schedule) == []


def test_what_a_server_lost_is_queued_again_once() -> None:
    """Seed 100361: a client that began anew found it as new as well, and sent it twice."""
    tally = running.Tally()
    assert running.judge(SCRIPT.read(QUEUED_AGAIN), tally) == []
    assert tally.faults[SERVER_RESTORED] == 1


QUEUED_AGAIN = (
    "5/206183221 crash_server:970299377 connect:930820161 write:342273833 save:417310304"
    " move:117900494 move:570513255 move:514510741 move:203833485 restore_server:313125054"
    " crash_client:349155037 connect:604662673 move:920575788 move:1000463878"
)


def test_what_the_code_raises_is_a_failure() -> None:
    broken = running.judge(make(0))
    assert broken == []
    schedule = make(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jim.core.hub.Hub.submit", None)
        [(rule, detail)] = running.judge(schedule)
    assert rule == running.EXCEPTION
    assert "TypeError" in detail


def test_a_plant_that_is_not_found_is_said_so() -> None:
    harmless = running.catch(named("leak"), 0.0)
    assert (harmless.rule, harmless.plant) == ("", "leak")


def test_seeds_are_the_same_in_other_processes() -> None:
    tally = running.Tally()
    for part in running.run_many(0, 2 * running.CHUNK // 10, 2):
        tally.add(part)
    alone = running.run_chunk(0, 2 * running.CHUNK // 10)
    assert (tally.acked, tally.shown, tally.faults) == (alone.acked, alone.shown, alone.faults)
    assert tally.told == alone.told


def test_the_program_says_what_it_ran(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", str(len(CLIMATES) * 5)]) == 0
    printed = capsys.readouterr().out
    assert "30 schedules in" in printed
    assert "failures: 0 of 30: below 0.095 with 95 % confidence" in printed


def test_the_program_fails_when_a_seed_does(capsys: pytest.CaptureFixture[str]) -> None:
    with named("text_cut").planted():
        assert main(["--seeds", "3"]) == 1
        printed = capsys.readouterr().out
        assert "again: python -m reliability.simulate --seed 0" in printed
        text = next(line for line in printed.splitlines() if line.startswith("shrunk: "))
        assert main(["--schedule", text.removeprefix("shrunk: ")]) == 1
        assert main(["--seed", "0"]) == 1
        assert "nobody wrote" in capsys.readouterr().out


def named(name: str) -> Plant:
    return next(plant for plant in PLANTS if plant.name == name)
