"""A bad network between clients and server: a proxy delays, holds, loses, tears off, slows down."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from reliability.faults.cycles import HEALED_S
from reliability.faults.model import Fault
from reliability.faults.spells import impatience, pause, run_spells
from reliability.injectors.proxy_thread import ProxyThread
from reliability.rig.programs import PLAIN, Launch
from reliability.rig.scene import CAST, Scene
from reliability.rig.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from reliability.faults.model import Report, Result, Run
    from reliability.injectors.proxy import Proxy, Way

    Trouble = Callable[[ProxyThread, Scene, int], str]

SPELL_S: Final = (0.3, 2.0)
"""How long it lasts: a few round trips of a bad line to a walk through a tunnel."""

DELAY_S: Final = (0.05, 0.6)
"""One way: a phone far from its mast, a satellite."""

RATE_BYTES_PER_S: Final = (1_000, 8_000)
"""Of one connection: GPRS."""

TORN_OFF_BYTES: Final = (2_000, 40_000)
"""Up to where a connection is torn off at a random byte: from the TLS handshake (about 3 kB) over
the login to dozens of messages."""

BY_ITSELF_S: Final = 45.0
"""What clients promise when a connection dies in silence: 30 s of silence, 10 s without an answer,
half a second until they connect again; the rest is for doing so."""

CROWD: Final = (*CAST, "dora", "emil", "fanny", "gleb")
"""For all troubles together: eight people's devices."""


def through_proxy(
    kind: str,
    trouble: Trouble,
    *,
    cast: Sequence[str] = CAST,
    are_impatient: bool = False,
    healed_s: float = HEALED_S,
) -> Run:
    """Make the run of a fault: everybody connects through a proxy, and `trouble` strikes there."""

    def run(cycles: int, seed: int, directory: Path, report: Report) -> Result:
        server = Server(directory / "server")
        env = impatience(directory / "impatient") if are_impatient else {}
        launch = Launch(env=env) if env else PLAIN
        with (
            ProxyThread(server.address, seed) as proxy,
            Scene(
                directory, seed, server=server, cast=cast, connect_to=proxy.address, launch=launch
            ) as scene,
        ):

            def strike(scene: Scene, cycle: int) -> str:
                seen = trouble(proxy, scene, cycle)
                proxy.do(_calm)
                return seen

            result = run_spells(scene, kind, cycles, strike, report, healed_s=healed_s)
            result.details += f"; {proxy.do(_described)}"
        return result

    return run


# --- one trouble at a time ------------------------------------------------------------------------


def delay(proxy: ProxyThread, scene: Scene, _: int) -> str:
    """Everything takes longer, both ways; nobody may lose the connection over it."""
    up_s, down_s = (scene.chance.uniform(*DELAY_S) for _ in range(2))

    def slow(it: Proxy) -> tuple[int, int]:
        it.up.delay_s, it.down.delay_s = up_s, down_s
        return it.up.tally.delayed_bytes + it.down.tally.delayed_bytes, it.connections

    before = proxy.do(slow)
    pause(scene, *SPELL_S)
    delayed_bytes, connections = proxy.do(slow)
    if connections != before[1]:
        scene.ledger.odd(f"{connections - before[1]} connected anew over a delay")
    return _seen(delayed_bytes - before[0], "bytes delayed")


def blackhole(proxy: ProxyThread, scene: Scene, _: int) -> str:
    """Nothing gets through, and nobody is told; then it does again, or what was held is lost."""

    def block(it: Proxy) -> int:
        it.up.block()
        it.down.block()
        return it.up.tally.held_bytes

    before_bytes = proxy.do(block)
    pause(scene, *SPELL_S)
    held_bytes = proxy.do(block) - before_bytes
    return _ended(proxy, scene, held_bytes)


def one_way(proxy: ProxyThread, scene: Scene, cycle: int) -> str:
    """Nothing gets through in one direction, in turns; the other one works."""

    def way(it: Proxy) -> Way:
        return it.up if cycle % 2 else it.down

    before_bytes = proxy.do(lambda it: way(it).tally.held_bytes)
    proxy.do(lambda it: way(it).block())
    pause(scene, *SPELL_S)
    held_bytes = proxy.do(lambda it: way(it).tally.held_bytes) - before_bytes
    return _ended(proxy, scene, held_bytes)


def _ended(proxy: ProxyThread, scene: Scene, held_bytes: int) -> str:
    """Let what is held through, or lose it with its connection."""
    if scene.chance.random() < 0.5:
        proxy.do(_calm)
        return _seen(held_bytes, "bytes held and let through")
    proxy.do(lambda it: it.cut())
    return _seen(held_bytes, "bytes held and lost")


def reset(proxy: ProxyThread, scene: Scene, _: int) -> str:
    """Every connection is torn off at a random byte, in mid-frame; the next one too."""
    most_bytes = scene.chance.randint(*TORN_OFF_BYTES)

    def spoil(it: Proxy) -> int:
        it.up.reset_within_bytes = it.down.reset_within_bytes = most_bytes
        return it.up.tally.resets + it.down.tally.resets

    before = proxy.do(spoil)
    proxy.do(lambda it: it.cut())  # those there are have no such bound
    pause(scene, *SPELL_S)
    return _seen(proxy.do(spoil) - before, "connections torn off")


def throttle(proxy: ProxyThread, scene: Scene, _: int) -> str:
    """Each connection gets a few kB a second."""
    rate = scene.chance.randint(*RATE_BYTES_PER_S)

    def slow(it: Proxy) -> int:
        it.up.bytes_per_s = it.down.bytes_per_s = rate
        return it.up.tally.throttled_bytes + it.down.tally.throttled_bytes

    before_bytes = proxy.do(slow)
    pause(scene, *SPELL_S)
    return _seen(proxy.do(slow) - before_bytes, f"bytes at {rate} a second")


def forget(proxy: ProxyThread, scene: Scene, _: int) -> str:
    """The connections there are die in silence. Clients find out by themselves, and come back."""
    forgotten = proxy.do(lambda it: it.forget())
    before = proxy.do(lambda it: it.connections)
    began_s = time.monotonic()
    while proxy.do(lambda it: it.connections) - before < forgotten:
        if time.monotonic() - began_s > BY_ITSELF_S:
            scene.ledger.odd(f"not everybody noticed within {BY_ITSELF_S:g} s")
            break
        time.sleep(0.1)
    took_s = time.monotonic() - began_s
    return _seen(forgotten, f"connections forgotten, the last one noticed after {took_s:.1f} s")


TROUBLES: Final[tuple[Trouble, ...]] = (delay, blackhole, one_way, reset, throttle)


def mixed(proxy: ProxyThread, scene: Scene, cycle: int) -> str:
    """Two or three troubles, one upon the other."""
    chance = random.Random(f"{scene.seed}/{cycle}")
    seen = [trouble(proxy, scene, cycle) for trouble in chance.sample(MIXED, chance.randint(2, 3))]
    return ", ".join(filter(None, seen))


MIXED: Final[tuple[Trouble, ...]] = tuple(trouble for trouble in TROUBLES if trouble is not delay)
"""Of a mixture: a delay is judged by nobody losing the connection, which others see to."""


def _calm(proxy: Proxy) -> None:
    proxy.calm()


def _seen(count: int, what: str) -> str:
    return f"{count} {what}" if count > 0 else ""


def _described(proxy: Proxy) -> str:
    up, down = proxy.up.tally, proxy.down.tally
    passed_kb = (up.passed_bytes + down.passed_bytes) // 1000
    lost = up.lost_bytes + down.lost_bytes
    return f"{passed_kb} kB passed, {lost} bytes lost, {proxy.connections} connections"


FAULTS: Final = (
    Fault(
        name="proxy_delay",
        description="0.05 to 0.6 s of delay each way",
        run=through_proxy("delay", delay),
    ),
    Fault(
        name="proxy_blackhole",
        description="nothing gets through and nobody is told; then it does, or is lost",
        run=through_proxy("blackhole", blackhole),
    ),
    Fault(
        name="proxy_one_way",
        description="nothing gets through in one direction, in turns",
        run=through_proxy("one way", one_way),
        short=4,
    ),
    Fault(
        name="proxy_reset",
        description="connections torn off in mid-frame after a random number of bytes",
        run=through_proxy("reset", reset),
    ),
    Fault(
        name="proxy_throttle",
        description="1 to 8 kB a second for each connection",
        run=through_proxy("throttle", throttle),
    ),
    Fault(
        name="proxy_forgotten",
        description="connections die in silence; clients (made impatient) find out by themselves",
        run=through_proxy("forgotten", forget, are_impatient=True),
        short=2,
    ),
    Fault(
        name="proxy_silence",
        description="the same with clients as they are: found out within 45 s",
        run=through_proxy("forgotten", forget),
        short=0,
    ),
    Fault(
        name="proxy_soak",
        description="eight devices, several troubles at a time",
        run=through_proxy("mixed", mixed, cast=CROWD),
        short=3,
    ),
)
