"""A real network that loses packets or goes down: server and clients in namespaces of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import HEALED_S
from reliability.faults.model import Fault
from reliability.faults.spells import pause, run_spells
from reliability.injectors.namespaces import ADDRESSES, CLIENTS, NEEDS, NETWORK, SERVER, laid
from reliability.rig.programs import Launch
from reliability.rig.scene import Scene
from reliability.rig.server import LIFTED, Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reliability.faults.model import Report, Result, Run
    from reliability.injectors.namespaces import Cable

    Trouble = Callable[[Cable, Scene], str]

PORT: Final = 7777
"""Nobody else is in the server's namespace."""

LOST_PERCENT: Final = 20
"""Of the packets, each way: a line on which one in three exchanges has to be repeated."""

LOSS_S: Final = (1.5, 3.0)
"""Long enough for TCP's repetitions after 0.2, 0.4 and 0.8 s (RFC 6298; Linux begins at 0.2)."""

LOSS_HEALED_S: Final = 20.0
"""In place of `HEALED_S`. After 3 s of loss TCP waits up to 3.2 s before it repeats, perhaps for
each of several holes anew: 11.8 s were seen once, in steps of 3 s, on one connection."""

DOWN_S: Final = (0.5, 2.5)
"""As long as somebody needs to put the plug in again; TCP then waits up to as long again."""


def on_cable(kind: str, trouble: Trouble, healed_s: float = HEALED_S) -> Run:
    """Make the run of a fault: everybody is on a cable of our own, and `trouble` strikes there."""

    def run(cycles: int, seed: int, directory: Path, report: Report) -> Result:
        with laid() as cable:
            server = Server(
                directory / "server",
                host=ADDRESSES[SERVER],
                port=PORT,
                launch=Launch(prefix=tuple(cable.inside(SERVER))),
                limits=LIFTED | {"exempt_networks": NETWORK},  # all clients come from one address
            )
            launch = Launch(prefix=tuple(cable.inside(CLIENTS)))
            with Scene(directory, seed, server=server, launch=launch) as scene:
                return run_spells(
                    scene,
                    kind,
                    cycles,
                    lambda scene, _: trouble(cable, scene),
                    report,
                    healed_s=healed_s,
                )

    return run


def lose_packets(cable: Cable, scene: Scene) -> str:
    """Packets are lost both ways; nothing else happens."""
    with cable.losing(LOST_PERCENT):
        pause(scene, *LOSS_S)
        lost = cable.lost_packets()
    if not all(lost.values()):
        return ""
    return f"{lost[SERVER]} packets to the server and {lost[CLIENTS]} to the clients lost"


def pull_cable(cable: Cable, scene: Scene) -> str:
    """The cable is out at one end; `pulled` sees to it that nothing comes through."""
    side = scene.chance.choice((SERVER, CLIENTS))
    with cable.pulled(side):
        pause(scene, *DOWN_S)
        was_down = not cable.is_up(SERVER) and not cable.is_up(CLIENTS)
    return f"cable out at the end of the {side}" if was_down else ""


FAULTS: Final = (
    Fault(
        name="packet_loss",
        description=f"{LOST_PERCENT} % of the packets are lost, both ways",
        run=on_cable("packet loss", lose_packets, LOSS_HEALED_S),
        needs=NEEDS,
    ),
    Fault(
        name="link_down",
        description="the network cable is pulled out and put in again, at either end",
        run=on_cable("link down", pull_cable),
        needs=NEEDS,
    ),
)
