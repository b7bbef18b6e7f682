"""The shape that most runs have: break, heal, wait until everything is in place, again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reliability.injectors.taken import NotTaken
from reliability.rig.programs import Ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliability.faults.model import Report, Result
    from reliability.rig.scene import Scene

HEALED_S: Final = 10.0
"""From healing to the last message on the last screen, at most: the bar of this project."""

PATIENCE_S: Final = 40.0
"""How long a run waits for that before it gives up: later than `HEALED_S` is a violation as well,
but a late message says more than none."""

TOLD_EVERY: Final = 25
"""Cycles between two lines about how far a run has come."""


class Plan:
    """How often something is done to a scene, and what comes of it."""

    def __init__(
        self,
        scene: Scene,
        kind: str,
        cycles: int,
        report: Report,
        *,
        healed_s: float = HEALED_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Take the scene, the kind of fault that each cycle has to make, and whom to tell.

        From each healing on everything has to arrive within `healed_s`; after `patience_s` it is
        not waited for any longer.
        """
        self._scene = scene
        self._kind = kind
        self._cycles = cycles
        self._report = report
        self._healed_s = healed_s
        self._patience_s = patience_s

    def run(self, result: Result, one_cycle: Callable[[], object]) -> None:
        """Open the scene, go through the cycles until something is wrong, and check everything.

        `one_cycle` breaks something, notes the fault in the ledger, and heals it: `Scene.heal` is
        called when the fault is gone, before anybody who ended over it is started again.
        """
        scene = self._scene
        try:
            scene.open()
            for cycle in range(1, self._cycles + 1):
                one_cycle()
                result.cycles = cycle
                if scene.ledger.strange or not scene.settle(self._patience_s):
                    break
                if cycle % TOLD_EVERY == 0:
                    self._report(f"cycle {cycle}, {scene.ledger.acks} acknowledged")
        except (Ended, NotTaken) as error:
            scene.ledger.odd(f"cycle {result.cycles + 1}: {error}")
        outcome = scene.verdict(
            acks=result.cycles,
            faults={self._kind: result.cycles},
            complete=not scene.ledger.strange,
            healed_within_s=self._healed_s,
        )
        result.fired += outcome.faults.get(self._kind, 0)
        result.take(outcome)
