"""A worker process full of clients, and what the harness may ask of it.

connect          bring everybody online             → connected: seconds
traffic Route[]  send on schedules until `quiet`
quiet            stop sending                       → quiet
churn per_s      cut random connections off, so many a second; 0 ends it
ask              the ones that did not yet ask for their mailbox do now
mark             begin the lists of the tally anew  → marked: the tally until now
count            → tally: the counts, who is online, the CPU time of this process
end              disconnect, close the journal      → done
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from benchmarks.stocking import Member
from reliability.load.client import Client
from reliability.load.journal import Journal, Tally

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from reliability.load.crew import Boss, Worker

COUNTS = ("written", "acked", "shown", "errors", "gaps", "notices", "logins", "refused", "losses")
POLL_S = 0.1
"""Between two looks at whether everything has settled: short against what is measured."""
NO_PROGRESS_S = 30.0
"""Without a single further message shown, nothing more will come."""


class Orders(Struct, frozen=True, kw_only=True):
    """Who lives in one worker process, and how."""

    address: tuple[str, int]
    members: list[Member]
    journal: str
    subnet: int = 1
    """The clients connect from 127.0.`subnet`.1 and its neighbours."""
    receive_bytes: int = 0
    retry_s: float = 0.0
    quiet_first: frozenset[str] = frozenset()
    """Names that do not ask for their mailbox until `ask`."""


class Route(Struct, frozen=True):
    """Messages on a schedule: `pairs` in turn, whatever happens to the ones before."""

    pairs: list[tuple[str, str]]
    per_s: float
    size_bytes: int
    count: int = 0
    """Of messages altogether; 0 goes on until `quiet`."""


async def populate(boss: Boss, orders: Orders) -> None:
    """Be a worker."""
    await _Population(boss, orders).serve()


class _Population:
    def __init__(self, boss: Boss, orders: Orders) -> None:
        self._boss = boss
        self.tally = Tally()
        self._journal = Journal(Path(orders.journal))
        self._clients = {
            member.name: Client(
                member,
                orders.address,
                f"127.0.{orders.subnet}.{index % 200 + 1}",
                self._journal,
                self.tally,
                receive_bytes=orders.receive_bytes,
                retry_s=orders.retry_s,
                asks=member.name not in orders.quiet_first,
            )
            for index, member in enumerate(orders.members)
        }
        self._online: list[asyncio.Task[None]] = []
        self._sending: list[asyncio.Task[None]] = []
        self._churning: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        word = ""
        while word != "end":
            word, value = await self._boss.hear()
            await getattr(self, f"_on_{word}")(value)

    # --- words --------------------------------------------------------------------------------

    async def _on_connect(self, wait: bool) -> None:
        started_s = time.monotonic()
        self._online = [asyncio.create_task(each.run()) for each in self._clients.values()]
        if wait:
            await asyncio.gather(*(client.online.wait() for client in self._clients.values()))
        self._boss.tell("connected", time.monotonic() - started_s)

    async def _on_traffic(self, routes: Sequence[Route]) -> None:
        self._sending += [asyncio.create_task(self._send(route)) for route in routes]

    async def _on_quiet(self, _: None) -> None:
        await _cancel(self._sending)
        self._sending = []
        self._boss.tell("quiet")

    async def _on_churn(self, per_s: float) -> None:
        if self._churning is not None:
            await _cancel([self._churning])
            self._churning = None
        if per_s:
            self._churning = asyncio.create_task(self._churn(per_s))

    async def _on_ask(self, _: None) -> None:
        for client in self._clients.values():
            client.ask()

    async def _on_mark(self, _: None) -> None:
        self._boss.tell("marked", structs.asdict(self.tally))
        self.tally.late_ns.clear()
        self.tally.resumed_s.clear()
        self.tally.first_ack_s = self.tally.first_shown_s = 0.0

    async def _on_count(self, _: None) -> None:
        counts = {name: getattr(self.tally, name) for name in COUNTS}
        counts["online"] = sum(client.wire is not None for client in self._clients.values())
        counts["resumed"] = len(self.tally.resumed_s)
        counts["cpu_ms"] = round(time.process_time() * 1000)
        self._boss.tell("tally", counts)

    async def _on_end(self, _: None) -> None:
        await self._on_churn(0)
        await _cancel([*self._sending, *self._online])
        self._journal.close()
        self._boss.tell("done")

    # --- work ---------------------------------------------------------------------------------

    async def _send(self, route: Route) -> None:
        step_ns = round(1e9 / route.per_s)
        due_ns, index = time.monotonic_ns() + step_ns, 0
        while not route.count or index < route.count:
            now_ns = time.monotonic_ns()
            while due_ns <= now_ns and (not route.count or index < route.count):
                sender, to = route.pairs[index % len(route.pairs)]
                self._clients[sender].send(to, due_ns, route.size_bytes)
                index, due_ns = index + 1, due_ns + step_ns
            await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / 1e9))

    async def _churn(self, per_s: float) -> None:
        chance = random.Random(7)
        clients = list(self._clients.values())
        while True:
            await asyncio.sleep(1 / per_s)
            chance.choice(clients).drop()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


def count(workers: Sequence[Worker]) -> dict[str, int]:
    """Add up what the workers have counted."""
    for worker in workers:
        worker.tell("count")
    total: dict[str, int] = {}
    for worker in workers:
        for name, value in worker.hear("tally", 60).items():
            total[name] = total.get(name, 0) + value
    return total


def mark(workers: Sequence[Worker]) -> list[dict[str, Any]]:
    """Take the lists of the tallies, and begin new ones."""
    for worker in workers:
        worker.tell("mark")
    return [worker.hear("marked", 60) for worker in workers]


def quiet(workers: Sequence[Worker]) -> None:
    """Stop all sending."""
    for worker in workers:
        worker.tell("quiet")
    for worker in workers:
        worker.hear("quiet", 60)


def settle(workers: Sequence[Worker], expected: int = 0) -> tuple[dict[str, int], float]:
    """Wait until everything written, and `expected` from before, is acknowledged and shown.

    Gives the counts, and the moment (monotonic) at which it was so or no progress was made.
    """
    seen, since_s = -1, time.monotonic()
    while True:
        counts = count(workers)
        progress = counts["acked"] + counts["shown"]
        whole = counts["acked"] == counts["written"]
        whole = whole and counts["shown"] >= counts["written"] + expected
        if progress != seen:
            seen, since_s = progress, time.monotonic()
        if whole or time.monotonic() - since_s > NO_PROGRESS_S:
            return counts, time.monotonic()
        time.sleep(POLL_S)


def dismiss(workers: Sequence[Worker]) -> None:
    """Let everybody go, and the journals be finished."""
    for worker in workers:
        worker.tell("end")
    for worker in workers:
        worker.hear("done", 60)
