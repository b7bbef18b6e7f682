"""Programs that stand still: a client that reads nothing, a server that answers nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reliability.faults.model import Fault
from reliability.faults.spells import impatience, pause, run_spells
from reliability.injectors.signals import frozen
from reliability.kernel import held_for
from reliability.rig.programs import Launch
from reliability.rig.scene import Scene
from reliability.rig.server import LIFTED, Server

if TYPE_CHECKING:
    from pathlib import Path

    from reliability.faults.model import Report, Result

SHORT_S: Final = (0.3, 1.2)
"""A reader that nobody misses yet."""

WATCHFUL: Final = {"ping_s": "1", "idle_s": "3"}
"""Seconds instead of minutes, so that a frozen reader is disconnected within a cycle."""

LONG_S: Final = (4.0, 5.0)
"""Longer than `idle_s` and a sweep: the server gives the reader up."""

DEAD_S: Final = (3.0, 4.0)
"""Longer than impatient clients wait for a sign of life (2 s)."""

GRACE_S: Final = 5.0
"""For clients to read what the server sent before it stood still: milliseconds on an idle
machine."""


def run_frozen_reader(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Freeze a client, in turns shortly and until it is given up; the others must not notice."""
    server = Server(directory / "server", limits=LIFTED | WATCHFUL)
    with Scene(directory, seed, server=server) as scene:
        return run_spells(scene, "frozen reader", cycles, _freeze_reader, report)


def _freeze_reader(scene: Scene, cycle: int) -> str:
    reader = scene.chance.choice(scene.people)
    is_long = cycle % 2 == 1
    given_up = _given_up(scene, reader.device)
    with frozen(reader.pid):
        acks = scene.ledger.acks
        pause(scene, *(LONG_S if is_long else SHORT_S))
        scene.stop_traffic()
        _check_others(scene, reader.device)
        more = scene.ledger.acks - acks
        # Looked at while it is frozen: afterwards it may have been anything else.
        seen = _given_up(scene, reader.device) > given_up or not is_long
    return f"{more} acknowledged meanwhile" if seen and more else ""


def _given_up(scene: Scene, device: str) -> int:
    """Count how often the server has ended a session of the device for its silence."""
    lines = scene.server.log_text().splitlines()
    return sum("closing" in line and device in line and "idle" in line for line in lines)


def _check_others(scene: Scene, frozen_device: str) -> None:
    """See that everybody else gets everything that is acknowledged, in spite of the frozen one."""

    def reached() -> bool:
        return all(devices <= {frozen_device} for devices in scene.ledger.unshown.values())

    if not scene.ledger.wait(reached, 5.0):
        missing = {d for devices in scene.ledger.unshown.values() for d in devices}
        scene.ledger.odd(f"one is frozen, but these wait as well: {missing - {frozen_device}}")


def run_frozen_server(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Freeze the server until clients, made impatient, give it up; then let it go on."""
    launch = Launch(env=impatience(directory / "impatient"))
    with Scene(directory, seed, launch=launch) as scene:
        return run_spells(scene, "frozen server", cycles, _freeze_server, report)


def _freeze_server(scene: Scene, _: int) -> str:
    with frozen(scene.server.pid):
        _collect(scene)
        before = scene.ledger.acks
        scene.ledger.wait(lambda: False, scene.chance.uniform(*DEAD_S))
        without = [person.name for person in scene.people if not person.is_online]
        if (more := scene.ledger.acks - before) != 0:
            scene.ledger.odd(f"a frozen server has acknowledged messages: {more}")
    return f"{len(without)} of {len(scene.people)} devices gave it up" if without else ""


def _collect(scene: Scene) -> None:
    """Let everything arrive that the server had sent, and be told of; from then on it is silent."""
    give_up_s = time.monotonic() + GRACE_S
    while _has_unread(scene.server.port) and time.monotonic() < give_up_s:
        time.sleep(0.01)
    for person in scene.people:
        person.sync()


def _has_unread(port: int) -> bool:
    """Tell whether a client has something waiting for it; they are all at 127.0.0.1."""
    return any(held.unread_bytes for held in held_for(0, port).values())


FAULTS: Final = (
    Fault(
        name="frozen_reader",
        description="a client stands still (SIGSTOP), also until the server gives it up",
        run=run_frozen_reader,
    ),
    Fault(
        name="frozen_server",
        description="the server stands still (SIGSTOP) until the clients give it up",
        run=run_frozen_server,
        short=2,
    ),
)
