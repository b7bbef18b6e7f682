"""What every attack is: a treason, a script that people play meanwhile, and what they are told."""

from __future__ import annotations

import asyncio
import collections
from typing import TYPE_CHECKING, ClassVar, Final

from jim.errors import JimError
from reliability.hostile.traitor import Treason
from reliability.hostile.treason.scene import Failed, Scene

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reliability.hostile.traitor import Traitor
    from reliability.hostile.treason.scene import Witness

PLAY_S: Final = 60.0
"""For one attack with everything afterwards: a second or two here; only one that hangs reaches
it."""


class Attack(Treason):
    """One attack; subclasses say what the server does, and what has to come of it."""

    told: ClassVar[Mapping[str, set[str]]] = {}
    """Role to exactly the codes of the notices that its client tells; nobody else is told any."""

    def __init__(self, scene: Scene) -> None:
        """Take the scene to play in."""
        self.scene = scene

    async def play(self) -> None:
        """Let people talk while the server lies, and demand what has to come of it.

        Raises:
            Failed: something else has.
        """
        raise NotImplementedError

    async def afterwards(self) -> None:
        """Demand that everybody can talk to everybody once the server is honest again.

        Raises:
            Failed: a text neither came nor failed.
        """
        for one in self.scene.witnesses:
            for name in dict.fromkeys(each.client.name for each in self.scene.witnesses):
                if one.client.name != name:
                    devices = [each for each in self.scene.witnesses if each.client.name == name]
                    await one.send(devices[0], f"after all from {one.role}")
                    for other in devices:
                        await other.reads(f"after all from {one.role}")

    # --- for the scripts --------------------------------------------------------------------------

    async def two(self) -> tuple[Witness, Witness]:
        """Give two people who have talked, so that there are sessions both ways."""
        alice, bob = await self.scene.join("alice"), await self.scene.join("bob")
        await self.scene.acquaint(alice, bob)
        return alice, bob

    def begin(self) -> None:
        """Let the server lie from now on."""
        self.scene.commit(self)

    def end(self) -> None:
        """Let the server be honest from now on."""
        self.scene.commit(Treason())


def demand(condition: object, what: str) -> None:
    """Fail the attack unless something is so.

    Raises:
        Failed: it is not.
    """
    if not condition:
        raise Failed(what)


async def run(kind: type[Attack], traitor: Traitor, directory: Path, number: int) -> list[str]:
    """Play one attack; gives what was otherwise than it has to be."""
    scene = Scene(traitor, directory / str(number), number)
    attack = kind(scene)
    wrong: list[str] = []
    try:
        async with asyncio.timeout(PLAY_S):
            await attack.play()
            attack.end()
            await attack.afterwards()
    except (Failed, JimError, TimeoutError) as error:
        wrong.append(f"{type(error).__name__}: {error}")
    finally:
        attack.end()
        await scene.aclose()
    return wrong + _judge(attack)


def _judge(attack: Attack) -> list[str]:
    """Give what must never be, whatever the attack is."""
    wrong = []
    for witness in attack.scene.witnesses:
        told, wanted = set(witness.told), attack.told.get(witness.role, set())
        if told != wanted:
            wrong.append(f"{witness.role} was told {sorted(told)} instead of {sorted(wanted)}")
        twice = [text for text, times in collections.Counter(witness.texts).items() if times > 1]
        if twice:
            wrong.append(f"{witness.role} was shown twice: {twice}")
    if attack.scene.leaks():
        wrong.append("a text was said in the open")
    wrong += [f"a client said what is no message: {each}" for each in attack.scene.unreadable]
    return wrong
