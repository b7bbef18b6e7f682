"""kill -9 of the server and of clients, at random moments under traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import Plan
from reliability.faults.model import Fault, Report, Result, Stopwatch
from reliability.rig.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.rig.people import Person

KIND: Final = "kill"

TRAFFIC_S: Final = (0.02, 0.35)
"""From the start of traffic to the kill: from the first commit to a few dozen."""

SERVER_CHANCE: Final = 0.7
CLIENT_CHANCE: Final = 0.3
"""Of each to be killed in a cycle; at least one is."""


def run_kills(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Kill, restart, and wait until everything is where it belongs, so many times."""
    watch, result = Stopwatch(), Result()
    with Scene(directory, seed) as scene:
        Plan(scene, KIND, cycles, report).run(result, lambda: kill_some(scene))
    result.seconds_s = watch.seconds_s
    return result


def kill_some(scene: Scene) -> None:
    """Kill whoever it hits under traffic, and start them again."""
    chance = scene.chance
    with_server, victims = _choose(scene)
    scene.start_traffic()
    wait_s = chance.uniform(*TRAFFIC_S)
    scene.ledger.wait(lambda: False, wait_s)
    order: list[Person | None] = [*victims, *([None] if with_server else [])]
    chance.shuffle(order)
    for victim in order:
        _kill(scene, victim)
    scene.stop_traffic()
    scene.heal()
    for victim in victims:
        victim.start()
    if with_server:
        scene.server.start()
    scene.wait_online()


def _choose(scene: Scene) -> tuple[bool, list[Person]]:
    chance = scene.chance
    victims = [person for person in scene.people if chance.random() < CLIENT_CHANCE]
    return chance.random() < SERVER_CHANCE or not victims, victims


def _kill(scene: Scene, victim: Person | None) -> None:
    status = scene.server.kill() if victim is None else victim.kill()
    name = "server" if victim is None else victim.name
    scene.ledger.fault(KIND, name, fired=status == -9)


FAULTS: Final = (
    Fault(
        name="kill",
        description="kill -9 of server and clients at random moments",
        run=run_kills,
        short=10,
    ),
)
