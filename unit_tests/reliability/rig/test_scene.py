from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.history import Displayed, Healed, Settled, load
from reliability.rig.people import Person
from reliability.rig.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """Two people whose clients never run."""
    monkeypatch.setattr(Person, "_tell", lambda *_: None)
    scene = Scene(tmp_path / "scene", 1, cast=("anna", "boris"))
    for number, person in enumerate(scene.people):
        person.device = f"device{number}"
        scene.ledger.add_device(person.name, person.device)
    return scene


def arrive(scene: Scene, uid: str, seq: int) -> None:
    scene.ledger.acked(uid, seq, seq)
    scene.ledger.displayed(Displayed(0.0, "boris", "device1", uid, "anna", seq))


def test_the_same_seed_writes_the_same(scene: Scene, tmp_path: Path) -> None:
    written = scene.write_some(20)
    other = Scene(tmp_path / "other", 1, cast=("anna", "boris"))
    for number, person in enumerate(other.people):
        person.device = f"device{number}"
        other.ledger.add_device(person.name, person.device)
    assert other.write_some(20) == written


def test_it_settles_when_everything_has_arrived(scene: Scene) -> None:
    uid = scene.say(scene.people[0], "boris")
    assert not scene.settle(0.01)
    assert "did not settle" in scene.ledger.strange[0]
    arrive(scene, uid, 1)
    assert scene.settle(0.01)


def test_it_does_not_settle_while_somebody_is_not_connected(scene: Scene) -> None:
    arrive(scene, scene.say(scene.people[0], "boris"), 1)
    scene.people[1].starts = 1
    assert not scene.settle(0.01)


def test_every_healing_of_a_scene_is_measured(scene: Scene) -> None:
    clock_s = iter((0.0, 10.0, 11.0, 20.0))  # healed, settled, healed, settled
    for number in (1, 2):
        arrive(scene, scene.say(scene.people[0], "boris"), number)
        scene.ledger.note(Healed(next(clock_s)))
        scene.ledger.note(Settled(next(clock_s)))
    found = scene.verdict(healed_within_s=9.5).violations
    assert [violation.rule for violation in found] == ["late"]


def test_a_good_scene_keeps_nothing(scene: Scene) -> None:
    arrive(scene, scene.say(scene.people[0], "boris"), 1)
    outcome = scene.verdict()
    assert outcome.violations == []
    assert outcome.directory == ""
    assert not (scene.directory / "history.jsonl").exists()


def test_a_violation_keeps_the_history(scene: Scene) -> None:
    uid = scene.say(scene.people[0], "boris")
    scene.ledger.acked(uid, 1, 1)
    outcome = scene.verdict(faults={"kill": 1})
    assert {violation.rule for violation in outcome.violations} == {"lost", "vacuous"}
    assert len(list(load(scene.directory / "history.jsonl"))) == 2
    assert "seed 1" in (scene.directory / "violations.txt").read_text()


def test_traffic_that_fails_is_noticed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> list[str]:
        raise RuntimeError("no more words")

    monkeypatch.setattr(scene, "write_some", fail)
    scene.start_traffic()
    scene.stop_traffic()
    assert scene.ledger.strange == ["the traffic has ended: RuntimeError: no more words"]


def test_a_log_with_an_incident_is_a_violation(scene: Scene) -> None:
    log = scene.server.directory / "log"
    log.mkdir(parents=True)
    (log / "server.log").write_text("fine\nERROR node incident 0a1b2c in session of x\n")
    arrive(scene, scene.say(scene.people[0], "boris"), 1)
    assert [violation.rule for violation in scene.verdict().violations] == ["strange"]
