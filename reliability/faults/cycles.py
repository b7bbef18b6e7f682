"""The shape that most runs have: break, heal, wait until everything is in place, again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reliability.injectors.taken import NotTaken
from reliability.rig.programs import DEADLINE_S, Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.faults.model import Report, Result
    from reliability.rig.scene import Scene

TOLD_EVERY: Final = 25
"""Cycles between two lines about how far a run has come."""


class Plan:
    """How often something is done to a scene, and what comes of it."""

    def __init__(self, scene: Scene, kind: str, cycles: int, report: Report) -> None:
        """Take the scene, the kind of fault that each cycle has to make, and whom to tell."""
        self._scene = scene
        self._kind = kind
        self._cycles = cycles
        self._report = report

    def run(
        self, result: Result, one_cycle: Callable[[], object], settle_s: float = DEADLINE_S
    ) -> None:
        """Open the scene, go through the cycles until something is wrong, and check everything.

        `one_cycle` breaks something, notes the fault in the ledger, and heals it.
        """
        scene = self._scene
        try:
            scene.open()
            for cycle in range(1, self._cycles + 1):
                one_cycle()
                result.cycles = cycle
                if scene.ledger.strange or not scene.settle(settle_s):
                    break
                if cycle % TOLD_EVERY == 0:
                    self._report(f"cycle {cycle}, {scene.ledger.acks} acknowledged")
        except (Ended, NotTaken) as error:
            scene.ledger.odd(f"cycle {result.cycles + 1}: {error}")
        outcome = scene.verdict(
            acks=result.cycles,
            faults={self._kind: result.cycles},
            complete=not scene.ledger.strange,
        )
        result.fired += outcome.faults.get(self._kind, 0)
        result.take(outcome)
