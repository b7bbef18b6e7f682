"""The course of most faults: traffic, a spell of trouble, healing, everything arrives; again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import HEALED_S, Plan
from reliability.faults.model import Result, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reliability.faults.model import Report
    from reliability.rig.scene import Scene

    Strike = Callable[[Scene, int], str]
    """Breaks something under traffic and mends it again, in the cycle of that number. Says what it
    saw break; nothing if the fault was not seen to take effect."""

PER_S: Final = 200.0
"""Messages a second that people try to write: more than the troubled server takes."""

IMPATIENT: Final = """
from jim.client import policy

policy.SILENCE_S = policy.DEAD_S = 1.0
policy.CONNECT_S = policy.LOGIN_S = 2.0
"""
"""Clients that look for a dead connection after 1 s of silence instead of 30 s, and give it up
after 1 s without an answer instead of 10 s: the same code, seconds instead of a minute."""


def run_spells(
    scene: Scene,
    kind: str,
    cycles: int,
    strike: Strike,
    report: Report,
    *,
    healed_s: float = HEALED_S,
    per_s: float = PER_S,
) -> Result:
    """Open a scene and strike so many times, under traffic; what is late is wrong (`Plan`).

    A strike that starts somebody again calls `Scene.heal` before it does so.
    """
    watch, result = Stopwatch(), Result()

    def one_cycle() -> None:
        scene.start_traffic(per_s)
        seen = strike(scene, result.cycles + 1)
        scene.heal()
        scene.stop_traffic()
        scene.ledger.fault(kind, seen, fired=bool(seen))
        result.details = seen

    Plan(scene, kind, cycles, report, healed_s=healed_s).run(result, one_cycle)
    result.seconds_s = watch.seconds_s
    return result


def pause(scene: Scene, at_least_s: float, at_most_s: float) -> None:
    """Let the traffic go on for a random time; whoever waits to connect tries again meanwhile."""
    ends_s = time.monotonic() + scene.chance.uniform(at_least_s, at_most_s)
    while (left_s := ends_s - time.monotonic()) > 0:
        scene.poke()
        time.sleep(min(left_s, 0.1))


def await_end(scene: Scene, timeout_s: float) -> bool:
    """Wait until the server has ended, while people go on trying; tells whether it has."""
    give_up_s = time.monotonic() + timeout_s
    while scene.server.is_up and time.monotonic() < give_up_s:
        scene.poke()
        time.sleep(0.05)
    return not scene.server.is_up


def impatience(directory: Path) -> dict[str, str]:
    """Give the environment that makes clients `IMPATIENT`: Python runs the file as it starts."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(IMPATIENT)
    return {"PYTHONPATH": str(directory)}
