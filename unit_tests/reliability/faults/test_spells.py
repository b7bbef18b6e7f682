from __future__ import annotations

import inspect
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import pytest

from reliability.faults import (
    clock,
    disk_errors,
    disk_limits,
    kills,
    power_cut,
    resources,
    session,
    spells,
)
from reliability.faults.cycles import HEALED_S, Plan
from reliability.faults.model import Result
from reliability.rig.programs import Ended
from reliability.rig.scene import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reliability.faults.spells import Strike


class FakeLedger:
    def __init__(self) -> None:
        self.acks = 0
        self.strange: list[str] = []
        self.faults: list[tuple[str, str, bool]] = []

    def fault(self, kind: str, detail: str, *, fired: bool) -> None:
        self.faults.append((kind, detail, fired))

    def odd(self, text: str) -> None:
        self.strange.append(text)


class FakeServer:
    def __init__(self) -> None:
        self.is_up = True


class FakeScene:
    """Keeps what is done to it, in order."""

    def __init__(self) -> None:
        self.chance = random.Random(1)
        self.done: list[str] = []
        self.ledger = FakeLedger()
        self.server = FakeServer()
        self.settles = True
        self.asked: dict[str, Any] = {}

    def open(self) -> None:
        self.done.append("open")

    def start_traffic(self, per_s: float) -> None:
        self.done.append(f"traffic {per_s:g}")

    def stop_traffic(self) -> None:
        self.done.append("quiet")

    def heal(self) -> None:
        self.done.append("heal")

    def settle(self, _: float) -> bool:
        self.done.append("settle")
        return self.settles

    def poke(self) -> None:
        self.done.append("poke")

    def verdict(self, **asked: Any) -> Outcome:
        self.asked = asked
        fired = sum(fired for _, _, fired in self.ledger.faults)
        return Outcome(violations=[], acks=7, written=9, faults={"kind": fired})


def run(scene: FakeScene, strike: Strike, cycles: int) -> Result:
    return spells.run_spells(cast("Any", scene), "kind", cycles, strike, lambda _: None)


def test_each_cycle_breaks_under_traffic_heals_and_waits_for_everything() -> None:
    scene = FakeScene()

    def strike(_: object, cycle: int) -> str:
        scene.done.append(f"strike {cycle}")
        return f"seen {cycle}"

    result = run(scene, strike, 2)
    course = ["traffic 200", "strike {}", "heal", "quiet", "settle"]
    assert scene.done == ["open", *(step.format(n) for n in (1, 2) for step in course)]
    assert (result.cycles, result.fired, result.acks, result.details) == (2, 2, 7, "seen 2")
    assert scene.ledger.faults == [("kind", "seen 1", True), ("kind", "seen 2", True)]
    asked = {"acks": 2, "faults": {"kind": 2}, "complete": True, "healed_within_s": HEALED_S}
    assert scene.asked == asked


def test_a_strike_that_saw_nothing_has_not_fired() -> None:
    scene = FakeScene()
    result = run(scene, lambda _, cycle: "seen" if cycle == 2 else "", 3)
    assert (result.cycles, result.fired) == (3, 1)
    assert [fired for _, _, fired in scene.ledger.faults] == [False, True, False]
    assert scene.asked["faults"] == {"kind": 3}


@pytest.mark.parametrize("settles", [True, False])
def test_it_ends_at_the_first_cycle_that_went_wrong(settles: bool) -> None:
    scene = FakeScene()
    scene.settles = settles

    def strike(_: object, __: int) -> str:
        if settles:
            scene.ledger.strange.append("something")
        return "seen"

    assert run(scene, strike, 5).cycles == 1


def test_somebody_who_has_ended_is_a_finding_of_the_run() -> None:
    scene = FakeScene()

    def strike(_: object, __: int) -> str:
        raise Ended("anna ended")

    assert run(scene, strike, 5).cycles == 0
    assert scene.ledger.strange == ["cycle 1: anna ended"]
    assert not scene.asked["complete"]


def test_a_plan_asks_that_everything_arrives_in_time() -> None:
    scene = FakeScene()
    plan = Plan(cast("Any", scene), "kind", 1, lambda _: None, healed_s=7)
    plan.run(Result(), lambda: scene.ledger.fault("kind", "", fired=True))
    assert scene.asked["healed_within_s"] == 7


MODULES = (clock, disk_errors, disk_limits, kills, power_cut, resources, session)
HEALING = [
    function
    for module in MODULES
    for _, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and ".heal()" in inspect.getsource(function)
]


@pytest.mark.parametrize("function", HEALING, ids=lambda function: function.__qualname__)
def test_healing_is_noted_before_anybody_is_waited_for(function: Callable[..., object]) -> None:
    """Else the time that people need to connect again would not count."""
    _, _, after = inspect.getsource(function).rpartition("scene.heal()")
    assert "wait_online()" in after or "_restart(scene)" in after


def test_every_program_that_is_started_again_is_measured() -> None:
    names = {function.__name__ for function in HEALING}
    assert names == {
        *("kill_some", "_cut_server", "_cut_clients", "_fail_once", "_be_slow", "_fill", "_break"),
        *("_fill_client", "_crowd", "_starve", "_jump"),
    }


def test_a_pause_lasts_as_long_as_it_should_and_has_people_try_again() -> None:
    scene = FakeScene()
    spells.pause(cast("Any", scene), 0.15, 0.25)
    assert scene.done.count("poke") >= 2


def test_the_end_of_the_server_is_waited_for() -> None:
    scene = FakeScene()
    assert not spells.await_end(cast("Any", scene), 0.1)
    scene.server.is_up = False
    assert spells.await_end(cast("Any", scene), 0.1)


def test_impatient_clients_have_other_constants(tmp_path: Path) -> None:
    program = "from jim.client import policy as p; print(p.SILENCE_S, p.DEAD_S, p.CONNECT_S)"

    def told(extra: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **extra},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    assert told(spells.impatience(tmp_path / "made")) == "1.0 1.0 2.0"
    assert told({}) == "30.0 10.0 10.0"
