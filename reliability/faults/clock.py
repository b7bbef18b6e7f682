"""Wall clocks that jump by an hour or ten years, under the server and under a client."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reliability.faults.model import Fault
from reliability.faults.spells import pause, run_spells
from reliability.history import Failed
from reliability.injectors.clock import HOLDS_WITHIN_S, HOUR_S, YEAR_S, Clock
from reliability.rig.programs import Launch
from reliability.rig.scene import Scene
from reliability.rig.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliability.faults.model import Report, Result
    from reliability.rig.people import Person

JUMPS_S: Final = ((10 * YEAR_S, -HOUR_S), (-10 * YEAR_S, HOUR_S))
"""What a cycle does to the clock, in turns, before it is right again."""

SPELL_S: Final = (0.3, 0.8)

PER_S: Final = 40.0
"""Messages a second: libfaketime makes a program several times slower."""

STAMPED_WITHIN_S: Final = 8.0
"""A message from after the jump arrives: `HOLDS_WITHIN_S`, and what was queued before."""

CLIENT_CHANCE: Final = 0.5

TOLERANCE_S: Final = 600.0
"""How far a stamp may be off and still show which jump it was: the smallest one is an hour."""

AWAY: Final = (2, 3)
"""Who is away during a jump, by the place in the cast: a second device or an only one.
Messages wait, and a mailbox that seems to have waited for ten years is not to be taken for
abandoned."""


_LAST_STAMP: Final = (
    "SELECT time_ms FROM messages WHERE NOT outgoing ORDER BY message_id DESC LIMIT 1"
)


def run_clock(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Set the server's clock in each cycle, and a client's in some."""
    faked, own = Clock(directory / "server.clock"), Clock(directory / "client.clock")
    server = Server(directory / "server", launch=Launch(env=dict(faked.environment)))
    with Scene(directory, seed, server=server) as scene:
        scene.people[0].launch = Launch(env=dict(own.environment))

        def strike(scene: Scene, cycle: int) -> str:
            # A client's clock jumps with the server's in some cycles, and goes right in others.
            clocks = (faked, own) if scene.chance.random() < CLIENT_CHANCE else (faked,)
            seen = _jump(scene, clocks, JUMPS_S[cycle % len(JUMPS_S)])
            has_library = all(map(_is_faked, (server.pid, scene.people[0].pid)))
            return seen if has_library else ""

        return run_spells(scene, "clock", cycles, strike, report, per_s=PER_S)


def _jump(scene: Scene, clocks: Sequence[Clock], jumps_s: Sequence[int]) -> str:
    """Let messages wait, set the clocks, talk on, set them right, and let the absent one return."""
    witness = scene.people[1]
    absent = scene.people[scene.chance.choice(AWAY)]
    absent.quit()
    scene.say(witness, absent.name)
    time.sleep(SPELL_S[0])  # until it is stored
    logins = _logins(scene)
    stamped = []
    for offset_s in jumps_s:
        for clock in clocks:
            clock.set(offset_s)
            clock.check()
        stamped.append(_await_stamp(witness, offset_s))
        scene.say(witness, absent.name)
        pause(scene, *SPELL_S)
    for clock in clocks:
        clock.set(0)
    time.sleep(HOLDS_WITHIN_S)
    pause(scene, *SPELL_S)
    if more := _logins(scene) - logins:
        scene.ledger.odd(f"{more} connected anew because of a clock")
    for refused in scene.ledger.events(Failed):
        scene.ledger.odd(f"{refused.uid} was refused because of a clock: {refused.code}")
    scene.heal()
    absent.start()
    scene.wait_online()
    shown = " and ".join(f"{jump_s:+d}" for jump_s in jumps_s)
    return f"messages were stamped {shown} s off" if all(stamped) else ""


def _logins(scene: Scene) -> int:
    return scene.server.log_text().count("logged in")


def _await_stamp(person: Person, offset_s: int) -> bool:
    """Wait until the last message that the person got was stamped by the clock that jumped.

    The stamp is the server's, as the receiver's store has it.
    """
    give_up_s = time.monotonic() + STAMPED_WITHIN_S
    while abs(_stamp_s(person) - time.time() - offset_s) > TOLERANCE_S:
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.1)
    return True


def _stamp_s(person: Person) -> float:
    path = next(person.data_dir.glob("accounts/*/*/store.db"))
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        found = connection.execute(_LAST_STAMP).fetchone()
    return float(found[0]) / 1000 if found else 0.0


def _is_faked(pid: int) -> bool:
    return "libfaketime" in Path(f"/proc/{pid}/maps").read_text()


FAULTS: Final = (
    Fault(
        name="clock",
        description="wall clocks jump by an hour and by ten years, both ways",
        run=run_clock,
        needs=("libfaketime",),
        short=2,
    ),
)
