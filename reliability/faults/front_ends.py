"""kill -9 of what people and scripts run: `jim listen`, `jim send`, pipe, plain and line mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import Plan
from reliability.faults.model import Fault, Report, Result, Stopwatch
from reliability.rig.front_ends import KINDS, TYPED, FrontEnd
from reliability.rig.programs import PLAIN, Launch
from reliability.rig.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

KIND: Final = "front_end_kill"

CAST: Final = ("anna", "boris", "dora")
"""dora has one more device, where the programs run."""

PER_S: Final = 60.0
"""Messages a second: a quarter of them for each life of a second or two."""

LIVES: Final = (2, 4)
"""Of front ends in a cycle."""

PATIENCE_S: Final = 20.0
"""To wait for what never comes: beyond the 10 s within which everything has to be there."""

SHOWN: Final = (0, 25)
"""Messages that a front end shows before its end, if they come within `LIFE_S`."""

LIFE_S: Final = (0.2, 2.5)
"""A start takes 0.2 to 0.5 s: some are killed before the first message."""

QUIT_CHANCE: Final = 0.25
"""Of a life to end as its user wants; the first of each cycle is killed."""

SEND_CHANCE: Final = 0.5
"""Of a `jim send` between two lives, and of a kill in its middle."""

SEND_S: Final = (0.05, 0.6)
"""From its start to the kill: it takes 0.3 s or so."""

SERVER_CHANCE: Final = 0.25
"""Of the server to be killed and started again during a life."""

TYPED_MESSAGES: Final = (0, 6)
"""In a life."""

SIZES_BYTES: Final = (40, 40, 200, 2000)
"""Of messages that are typed: below the 4,096 bytes of a terminal's line (man 3 termios)."""


def run_front_ends(
    cycles: int,
    seed: int,
    directory: Path,
    report: Report,
    launch: Launch = PLAIN,
) -> Result:
    """Use one front end after the other, most of them killed; `launch` says how they start."""
    watch, result = Stopwatch(), Result()
    with Scene(directory, seed, cast=CAST) as scene:
        course = _Course(scene, directory / "dora-programs", launch)
        plan = Plan(scene, KIND, cycles, report, patience_s=PATIENCE_S)
        plan.run(result, course.run_cycle)
        result.details = course.story
    result.seconds_s = watch.seconds_s
    return result


class _Course:
    """One scene with one device of programs."""

    def __init__(self, scene: Scene, directory: Path, launch: Launch) -> None:
        self._scene = scene
        dora = next(person for person in scene.people if person.name == "dora")
        self._dora = dora
        address = scene.server.address
        self._front_end = FrontEnd(dora.name, directory, scene.ledger, address, launch)
        self._lives = 0

    @property
    def story(self) -> str:
        """What was seen, in a few words."""
        return f"{self._lives} lives, {self._front_end.repeats} shown again after a kill"

    def run_cycle(self) -> None:
        """Live a few lives under traffic; the last one goes on until everything is shown."""
        scene, chance, front_end = self._scene, self._scene.chance, self._front_end
        if not scene.front_ends:
            front_end.join(self._dora.words)
            scene.front_ends.append(front_end)
        elif chance.random() < 1 / 2:
            front_end.kill()
        else:
            front_end.quit()
        scene.start_traffic(PER_S)
        for number in range(chance.randint(*LIVES)):
            self._live(is_first=number == 0)
            if chance.random() < SEND_CHANCE:
                is_killed = chance.random() < SEND_CHANCE
                front_end.send(*self._letter(), chance.uniform(*SEND_S) if is_killed else 0.0)
        scene.stop_traffic()
        front_end.send_rest()
        scene.heal()
        front_end.start(chance.choice(KINDS))
        self._lives += 1

    def _live(self, *, is_first: bool) -> None:
        scene, chance, front_end = self._scene, self._scene.chance, self._front_end
        kind = chance.choice(KINDS)
        front_end.send_rest()
        front_end.start(kind)
        self._lives += 1
        if kind in TYPED:
            for _ in range(chance.randint(*TYPED_MESSAGES)):
                front_end.say(*self._letter())
        front_end.wait_shown(chance.randint(*SHOWN), chance.uniform(*LIFE_S))
        if chance.random() < SERVER_CHANCE:
            scene.server.kill()
            scene.server.start()
            scene.poke()
            front_end.wait_shown(front_end.shown + chance.randint(*SHOWN), chance.uniform(*LIFE_S))
        if is_first or chance.random() > QUIT_CHANCE:
            status = front_end.kill()
            scene.ledger.fault(KIND, kind, fired=status == -9)
        else:
            front_end.quit()
        scene.wait_online()

    def _letter(self) -> tuple[str, int]:
        to = self._scene.chance.choice([name for name in CAST if name != self._dora.name])
        return to, self._scene.chance.choice(SIZES_BYTES)


FAULTS: Final = (
    Fault(
        name="front_ends",
        description="kill -9 of `jim listen`, `jim send`, pipe, plain and line mode",
        run=run_front_ends,
        short=6,
    ),
)
