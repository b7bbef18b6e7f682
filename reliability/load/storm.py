"""A reconnect storm: kill -9 under thousands of sessions, restart, and all of them come back.

Some clients have messages waiting that they have not asked for before, and traffic goes on all the
time, so that messages are on their way when the server dies. Every client backs off as the real one
does (`jim.client.policy.Backoff`). A session counts as resumed when everything that waited for it
at its login has arrived.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from benchmarks.stocking import Member, stocked
from reliability import history as h
from reliability.load.crew import Worker, crew
from reliability.load.desk import Desk, desk
from reliability.load.figures import Check, Report, at_least, at_most, percentile
from reliability.load.population import (
    Orders,
    Route,
    count,
    dismiss,
    mark,
    populate,
    quiet,
    settle,
)
from reliability.promise import Demands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliability.load.server import LoadServer

CONNECT_S = 240.0
"""For the first logins of everybody: 15,000 at 200 a second on a machine that does other work."""

GIVE_UP_S = 120.0
"""For the storm: four times what is allowed, so that a miss is measured and not only noted."""

DEAD_S = 0.5
"""The server stays away for so long: below the first back-off of most clients."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How large the storm is, and what is demanded."""

    sessions: int
    processes: int = 2
    with_waiting: int
    waiting_each: int = 20
    messages_per_s: float = 100
    before_s: float = 3.0
    resumed_s: float = 30.0
    """From the issue: from the kill until the last session is whole again."""


SHORT = Sizes(sessions=200, with_waiting=20, before_s=1.0)
FULL = Sizes(sessions=12_000, with_waiting=1_000)


def run(sizes: Sizes, form: str) -> Report:
    """Gather the crowd, kill the server, and see everybody come back."""
    # Of the limits only the pace is lifted: the crowd meets those of the door as delivered.
    with desk("storm", form, sizes) as here, here.server() as server:
        _run(here, server, sizes)
    return here.report


def judge(figures: dict[str, Any], sizes: Sizes) -> list[Check]:
    """Hold the storm against the demands, and see that it was one."""
    return [
        at_least("sessions before", figures["online_before"], sizes.sessions),
        at_least("sessions that the kill ended", figures["lost"], sizes.sessions),
        at_least("on their way when it died", figures["in_flight"], 1, "messages"),
        at_least("waited through the storm", figures["waiting"], 1, "messages"),
        at_least("sessions resumed", figures["resumed"], sizes.sessions),
        at_most("all resumed", figures["all_resumed_s"], sizes.resumed_s, "s"),
        at_most("gaps in a mailbox", figures["gaps"], 0),
        at_most("refusals and tombstones", figures["errors"] + figures["notices"], 0),
    ]


def _run(here: Desk, server: LoadServer, sizes: Sizes) -> None:
    here.say(f"making {sizes.sessions} accounts")
    crowds, waiting = _fill(server, sizes)
    server.start()
    names = [f"crowd{i}" for i in range(sizes.processes)]
    jobs = []
    for index, crowd in enumerate(crowds):
        late = frozenset(member.name for member in crowd[: sizes.with_waiting // sizes.processes])
        orders = Orders(
            address=server.address,
            members=crowd,
            journal=here.journal(names[index]),
            subnet=10 + index,
            quiet_first=late,
        )
        jobs.append((populate, orders))
    with crew(*jobs) as workers:
        _gather(here, server, workers, crowds, sizes)
        _storm(here, server, workers, sizes)
        quiet(workers)
        counts, settled_s = settle(workers, len(waiting) // 2)
        figures = here.report.figures
        figures["waiting"] = len(waiting) // 2
        figures |= {name: counts[name] for name in ("acked", "gaps", "errors", "notices")}
        figures["rss_mib"] = server.gauge().rss_mib
        dismiss(workers)
    devices = {m.name: [m.identity.device] for crowd in crowds for m in crowd}
    least = round(sizes.messages_per_s * sizes.before_s / 2)
    demands = Demands(devices=devices, acks=least, faults={"kill": 1})
    killed = h.Fault(settled_s, "kill", fired=here.report.figures["lost"] >= sizes.sessions)
    more = [*waiting, killed, h.Settled(settled_s)]
    here.judge(demands, names, more)
    here.report.checks += judge(here.report.figures, sizes)


def _fill(server: LoadServer, sizes: Sizes) -> tuple[list[list[Member]], list[h.Event]]:
    """Make the accounts, in one crowd for each process, and what waits for the first ones."""
    share = sizes.sessions // sizes.processes
    late = sizes.with_waiting // sizes.processes
    with stocked(server.database) as stock:
        crowds = [
            stock.enlist(f"c{crowd}x{i}" for i in range(share)) for crowd in range(sizes.processes)
        ]
        (author,) = stock.enlist(["author"])
        to = [m.name for crowd in crowds for m in crowd[:late] for _ in range(sizes.waiting_each)]
        texts = [f"author:{n} 0 xxx" for n in range(1, len(to) + 1)]
        stock.post((author, n, to[n - 1], texts[n - 1]) for n in range(1, len(to) + 1))
    return crowds, list(_stored_before(to, texts))


def _stored_before(to: list[str], texts: list[str]) -> Iterator[h.Event]:
    for n, (name, text) in enumerate(zip(to, texts, strict=True), 1):
        uid = f"author:{n}"
        yield h.Written(0.0, uid, "author", "device of author", name, h.digest(text))
        yield h.Acked(0.0, uid)


def _gather(
    here: Desk,
    server: LoadServer,
    workers: list[Worker],
    crowds: list[list[Member]],
    sizes: Sizes,
) -> None:
    """Bring everybody online and start the traffic: each writes to the next of the same crowd."""
    figures = here.report.figures
    here.say(f"connecting {sizes.sessions} sessions")
    for worker in workers:
        worker.tell("connect", True)
    figures["connecting_s"] = max(worker.hear("connected", CONNECT_S) for worker in workers)
    figures["rss_mib_before"] = server.gauge().rss_mib
    for worker, crowd in zip(workers, crowds, strict=True):
        ring = [(a.name, b.name) for a, b in zip(crowd, crowd[1:] + crowd[:1], strict=True)]
        per_s = sizes.messages_per_s / len(workers)
        worker.tell("traffic", [Route(pairs=ring, per_s=per_s, size_bytes=100)])
    time.sleep(sizes.before_s)


def _storm(here: Desk, server: LoadServer, workers: list[Worker], sizes: Sizes) -> None:
    figures = here.report.figures
    before = count(workers)
    figures["online_before"] = before["online"]
    mark(workers)
    here.say("kill -9")
    server.kill()
    killed_s = time.monotonic()
    time.sleep(DEAD_S)
    dead = count(workers)
    figures["in_flight"] = dead["written"] - dead["acked"]
    for worker in workers:
        worker.tell("ask")
    server.start()
    listening_s = time.monotonic()
    figures["down_s"] = listening_s - killed_s
    used_s = server.cpu_s()
    back = dead
    while time.monotonic() < killed_s + GIVE_UP_S:
        back = count(workers)
        here.note(f"{back['resumed']} of {sizes.sessions} resumed")
        if back["resumed"] >= sizes.sessions:
            break
        time.sleep(0.5)
    took_s = time.monotonic() - listening_s
    figures["server_share_of_a_core"] = (server.cpu_s() - used_s) / took_s
    figures["generator_share_of_a_core"] = (back["cpu_ms"] - dead["cpu_ms"]) / 1000 / took_s
    # Counted now: half a second after the kill a busy generator has not noticed all of them.
    figures["lost"] = back["losses"] - before["losses"]
    figures["attempts_refused"] = back["refused"] - before["refused"]
    resumed = [at_s - killed_s for tally in mark(workers) for at_s in tally["resumed_s"]]
    figures["resumed"] = len(resumed)
    figures["half_resumed_s"] = percentile(resumed, 50) if resumed else float("inf")
    whole = len(resumed) >= sizes.sessions
    figures["all_resumed_s"] = max(resumed) if whole else float("inf")
    figures["logins_per_s"] = len(resumed) / (max(resumed) - figures["down_s"]) if resumed else 0.0
