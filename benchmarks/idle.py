"""Idle connections on a fresh server: what each of them takes, and how fast they log in.

The devices are known to the server, as in life. Another process has registered them: whoever has
had connections before would only use again the memory that those have left.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks import load, targets
from benchmarks.peer import Account

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.peer import Address

UNCOUNTED: Final = 1500
"""Connections that come first and are not counted. What a server has freed while it started, 3 MB,
is enough for the objects of the first thousand: they seemed to take 18 kB, and later ones 23 kB."""

REST_S: Final = 0.5
"""Until the memory is read: what a login leaves behind is freed."""


@dataclass(frozen=True)
class Idle:
    """What was found; `connections` were counted."""

    kib_per_connection: float
    connections: int
    logins_per_s: float
    login_cpu_ms: float


async def registered(data: Path, count: int) -> list[Account]:
    """Make a store in `data` that knows so many devices."""
    accounts = [Account(f"idle{i}") for i in range(count)]
    with targets.our_server(data=data) as (address, _):
        await load.hang_up(await load.idle(address, accounts))
    return accounts


async def measure(
    address: Address, pid: int, accounts: list[Account], uncounted: int = UNCOUNTED
) -> Idle:
    """Log in everybody with a full handshake, and leave them connected until everything is read."""
    first = await load.idle(address, accounts[:uncounted])
    await asyncio.sleep(REST_S)
    before_kib, cpu_s, wall_s = targets.rss_kib(pid), targets.cpu_s(pid), time.perf_counter()
    rest = await load.idle(address, accounts[uncounted:])
    wall_s, cpu_s = time.perf_counter() - wall_s, targets.cpu_s(pid) - cpu_s
    await asyncio.sleep(REST_S)
    grown_kib = targets.rss_kib(pid) - before_kib
    await load.hang_up([*first, *rest])
    count = len(rest)
    return Idle(grown_kib / count, count, count / wall_s, 1000 * cpu_s / count)


async def on_a_fresh_server(data: Path, count: int, uncounted: int = UNCOUNTED) -> Idle:
    """Measure so many connections behind the uncounted ones, with the store in `data`."""
    accounts = await registered(data, uncounted + count)
    with targets.our_server(data=data) as (address, pid):
        return await measure(address, pid, accounts, uncounted)
