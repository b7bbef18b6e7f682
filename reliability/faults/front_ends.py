"""kill -9 of what people and scripts run: `jim listen`, `jim send`, pipe, plain and line mode."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import Plan
from reliability.faults.model import Fault, Report, Result, Stopwatch
from reliability.rig.front_ends import AT_TERMINALS, FRONTS, TYPED, Front, FrontEnd
from reliability.rig.programs import PLAIN, Launch
from reliability.rig.scene import Scene

if TYPE_CHECKING:
    from pathlib import Path

KIND: Final = "front_end_kill"

CAST: Final = ("anna", "boris", "dora")
"""dora has one more device, where the programs run."""

PER_S: Final = 60.0
"""Messages a second that people try to write, a third of them to dora: some twenty in a life."""

LIVES: Final = (2, 4)
"""Of front ends in a cycle."""

PATIENCE_S: Final = 20.0
"""To wait for what never comes: beyond the 10 s within which everything has to be there."""

SHOWN: Final = (0, 25)
"""Messages that a front end shows before its end, if they come within `LIFE_S`."""

LIFE_S: Final = (0.2, 2.5)
"""A start takes 0.2 to 0.5 s: some are killed before the first message."""

QUIT_CHANCE: Final = 0.3
"""Of a life to end as its user wants; the first of each cycle is killed."""

LAST_KILL_CHANCE: Final = 0.5
"""Of the life that has shown everything to be killed."""

SIGNAL_CHANCE: Final = 0.5
SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""How a program without a terminal is told to end, if not by the end of its input."""

STALL_CHANCE: Final = 0.3
STALL_S: Final = (0.1, 0.6)
"""Of a life in whose last moments nobody reads what it prints, and how long they last: 4 KiB are
full after a few messages."""

BESIDE_CHANCE: Final = 0.3
"""Of a `jim send` that is under way when a front end starts."""

BACKLOG: Final = 450
BACKLOG_EVERY: Final = 4
"""Messages that wait, every few cycles: more than two pages of `jim.client.console.shown`."""

SEND_CHANCE: Final = 0.5
"""Of a `jim send` between two lives."""

SEND_KILL_CHANCE: Final = 0.5
"""Of a kill in its middle."""

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
        self._chance = random.Random(f"front ends {scene.seed}")  # the scene's is the traffic's too
        self._dora = next(person for person in scene.people if person.name == "dora")
        address = scene.server.address
        self._front_end = FrontEnd("dora", directory, scene.ledger, address, launch)
        self._cycle = 0
        self._lives = 0

    @property
    def story(self) -> str:
        """What was seen, in a few words."""
        front_end = self._front_end
        typed = f"{front_end.queued} of {front_end.typed} typed were queued by then"
        return f"{self._lives} lives, {front_end.repeats} shown again after a kill, {typed}"

    def run_cycle(self) -> None:
        """Live a few lives under traffic; the last one goes on until everything is shown."""
        scene, chance, front_end = self._scene, self._chance, self._front_end
        self._cycle += 1
        if not scene.front_ends:
            front_end.join(self._dora.words)
            scene.front_ends.append(front_end)
        else:
            self._end_life(chance.random() < LAST_KILL_CHANCE)
        scene.start_traffic(PER_S)
        for number in range(chance.randint(*LIVES)):
            self._live(is_first=number == 0)
            if chance.random() < SEND_CHANCE:
                is_killed = chance.random() < SEND_KILL_CHANCE
                front_end.send(*self._letter(), chance.uniform(*SEND_S) if is_killed else 0.0)
        scene.stop_traffic()
        front_end.send_rest()
        if self._cycle % BACKLOG_EVERY == 0:
            self._pile_up()
        scene.heal()
        # The last one has to show everything.
        self._start(chance.choice([front for front in FRONTS if front != "count"]))

    def _live(self, *, is_first: bool) -> None:
        scene, chance, front_end = self._scene, self._chance, self._front_end
        front = chance.choice(FRONTS)
        front_end.send_rest()
        # What is typed has its order; what is sent beside it has none.
        sends_beside = front not in TYPED and chance.random() < BESIDE_CHANCE
        if sends_beside:
            front_end.begin_send(*self._letter())
        self._start(front)
        if front in TYPED:
            self._type()
        front_end.wait_shown(chance.randint(*SHOWN), chance.uniform(*LIFE_S))
        if chance.random() < SERVER_CHANCE:
            scene.server.kill()
            scene.server.start()
            scene.poke()
            front_end.wait_shown(front_end.shown + chance.randint(*SHOWN), chance.uniform(*LIFE_S))
        if sends_beside:
            front_end.end_send()
        if chance.random() < STALL_CHANCE:
            front_end.stall()
            scene.ledger.wait(lambda: False, chance.uniform(*STALL_S))
        self._end_life(is_first or chance.random() > QUIT_CHANCE)
        scene.wait_online()

    def _start(self, front: Front) -> None:
        self._front_end.start(front)
        self._front = front
        self._lives += 1

    def _end_life(self, is_killed: bool) -> None:
        front_end, chance = self._front_end, self._chance
        if is_killed:
            status = front_end.kill()
            # One that counts may have ended just before; it is none that was killed.
            self._scene.ledger.fault(KIND, self._front, fired=status == -9)
            return
        number = None
        if self._front not in AT_TERMINALS and chance.random() < SIGNAL_CHANCE:
            number = chance.choice(SIGNALS)
        if self._front in TYPED and number is None:
            self._type()  # at the last moment
        front_end.quit(number)

    def _type(self) -> None:
        for _ in range(self._chance.randint(*TYPED_MESSAGES)):
            self._front_end.say(*self._letter())

    def _letter(self) -> tuple[str, int]:
        to = self._chance.choice([name for name in CAST if name != "dora"])
        return to, self._chance.choice(SIZES_BYTES)

    def _pile_up(self) -> None:
        """Let more wait than is read from the store at once."""
        anna = self._scene.people[0]
        for _ in range(BACKLOG):
            self._scene.say(anna, "dora")


FAULTS: Final = (
    Fault(
        name="front_ends",
        description="kill -9 of `jim listen`, `jim send`, pipe, plain and line mode",
        run=run_front_ends,
        short=6,
    ),
)
