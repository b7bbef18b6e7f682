"""Frozen readers: some stop reading their sockets for a while; the others must hardly feel it.

The readers to be frozen live in a process of their own, with small receive buffers, and are stopped
by SIGSTOP. The same traffic runs before, while they are frozen, and after: small messages among
the others, large ones to the frozen. What the others feel is how late their messages are shown.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from benchmarks.stocking import Member, stocked
from jim.core.limits import Limits
from reliability import history as h
from reliability.kernel import Held, held_for
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
from reliability.load.server import LIFTED, LoadServer
from reliability.promise import Demands

if TYPE_CHECKING:
    from collections.abc import Sequence

RECEIVE_BYTES = 4_096
"""SO_RCVBUF of the frozen: about the least that Linux gives, so that they stop the server soon."""
OTHERS, FROZEN = 20, 21
"""Subnets of the two kinds, so that the kernel's table tells them apart."""
WARM_S = 3.0
"""Traffic before anything is measured: connections and counters are loaded then."""
SAMPLE_S = 0.25
"""Between two looks at the server's memory: a push to all frozen takes longer."""
STOP_S = 0.1
"""From SIGSTOP until the process has really stopped, generously."""
SLACK_MIB = 24
"""Of memory, beside what waits for the frozen: the allocator's holes and batches in flight; a run
without any frozen readers moves by up to 15 MiB."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How many there are, what they say, and what is demanded."""

    clients: int
    frozen: int
    phase_s: float
    small_per_s: float
    large_per_s: float
    small_bytes: int = 100
    large_bytes: int = 16_000
    """Just below the limit of a text: a frozen reader's pipe is full after some dozens."""
    outgoing_bytes: int = Limits().outgoing_bytes
    ratio: float = 2.0
    """From the issue: the others' 99th percentile against that of the undisturbed phase."""
    floor_ms: float = 5.0
    """Below this, the scheduler of a busy machine decides about a percentile, not the server."""


SHORT = Sizes(
    clients=60,
    frozen=6,
    phase_s=6.0,
    small_per_s=100,
    large_per_s=100,
    outgoing_bytes=256 * 1024,
    floor_ms=25.0,
)
FULL = Sizes(clients=1_000, frozen=100, phase_s=60.0, small_per_s=300, large_per_s=150)


def run(sizes: Sizes, form: str) -> Report:
    """Run the phases: undisturbed, frozen, and back."""
    limits = dict(LIFTED)
    if sizes.outgoing_bytes != Limits().outgoing_bytes:
        limits |= {"outgoing_bytes": str(sizes.outgoing_bytes)}
        limits |= {"page_bytes": str(sizes.outgoing_bytes // 4)}
    with desk("frozen", form, sizes) as here, here.server(limits) as server:
        with stocked(server.database) as stock:
            others = stock.enlist(f"o{i}" for i in range(sizes.clients - sizes.frozen))
            frozen = stock.enlist(f"f{i}" for i in range(sizes.frozen))
        server.start()
        _run(here, server, others, frozen, sizes)
    return here.report


def judge(figures: dict[str, Any], sizes: Sizes) -> list[Check]:
    """Hold the phases against the demands, and see that the frozen were frozen."""
    allowed_ms = max(sizes.ratio * figures["undisturbed_p99_ms"], sizes.floor_ms)
    bound_mib = sizes.frozen * sizes.outgoing_bytes / 2**20 + SLACK_MIB
    return [
        at_most("others' p99 while frozen", figures["frozen_p99_ms"], allowed_ms, "ms"),
        at_least("others' messages while frozen", figures["frozen_samples"], 100),
        at_most("memory grown", figures["rss_grown_mib"], bound_mib, "MiB"),
        at_most("shown by the frozen while frozen", figures["shown_while_frozen"], 0),
        at_least("readers that the server paused", figures["paused"], sizes.frozen),
        at_least("waited for the frozen", figures["waiting_at_thaw"], sizes.frozen, "messages"),
        at_most("gaps in a mailbox", figures["gaps"], 0),
        at_most("refusals and tombstones", figures["errors"] + figures["notices"], 0),
    ]


def paused(held: Sequence[Held], sent_each_bytes: int, outgoing_bytes: int) -> int:
    """Count readers for whom more was stored than the pipe between server and client can hold.

    What is neither with the kernel nor within what the server pushes (half of the outgoing bound)
    can only have stayed in the store: the server has paused them. A reader whose queue is empty is
    not frozen at all.
    """
    return sum(
        each.unsent_bytes > 0
        and sent_each_bytes - each.unsent_bytes - each.unread_bytes > outgoing_bytes / 2
        for each in held
    )


def _run(
    here: Desk, server: LoadServer, others: list[Member], frozen: list[Member], sizes: Sizes
) -> None:
    figures = here.report.figures
    jobs = [
        (populate, _orders(here, server, "others", OTHERS, others, 0)),
        (populate, _orders(here, server, "frozen", FROZEN, frozen, RECEIVE_BYTES)),
    ]
    with crew(*jobs) as workers:
        here.say(f"connecting {sizes.clients} clients")
        for worker in workers:
            worker.tell("connect", True)
        for worker in workers:
            worker.hear("connected", 120)
        workers[0].tell("traffic", _routes(others, frozen, sizes))
        time.sleep(WARM_S)
        _undisturbed(here, workers, sizes)
        _frozen(here, server, workers, sizes)
        quiet(workers)
        counts, settled_s = settle(workers)
        thawed_s, frozen_s = figures.pop("thawed_at_s"), figures.pop("frozen_at_s")
        figures["thaw_to_settled_s"] = settled_s - thawed_s
        figures |= {name: counts[name] for name in ("acked", "gaps", "errors", "notices", "losses")}
        dismiss(workers)
    path = Path(here.journal("frozen"))
    figures["shown_while_frozen"] = shown_between(path, frozen_s + STOP_S, thawed_s)
    devices = {member.name: [member.identity.device] for member in (*others, *frozen)}
    demands = Demands(devices=devices, acks=100, faults={"freeze": 1})
    frozen_all = figures["paused"] == sizes.frozen
    freeze = h.Fault(time.monotonic(), "freeze", fired=frozen_all)
    here.judge(demands, ["others", "frozen"], [freeze])
    here.report.checks += judge(figures, sizes)


def _orders(
    here: Desk, server: LoadServer, name: str, subnet: int, members: list[Member], receive: int
) -> Orders:
    return Orders(
        address=server.address,
        members=members,
        journal=here.journal(name),
        subnet=subnet,
        receive_bytes=receive,
    )


def _routes(others: list[Member], frozen: list[Member], sizes: Sizes) -> list[Route]:
    names = [member.name for member in others]
    ring = list(zip(names, names[1:] + names[:1], strict=True))
    to_frozen = [(names[i % len(names)], member.name) for i, member in enumerate(frozen)]
    return [
        Route(pairs=ring, per_s=sizes.small_per_s, size_bytes=sizes.small_bytes),
        Route(pairs=to_frozen, per_s=sizes.large_per_s, size_bytes=sizes.large_bytes),
    ]


def _undisturbed(here: Desk, workers: list[Worker], sizes: Sizes) -> None:
    here.say("undisturbed phase")
    mark(workers)
    time.sleep(sizes.phase_s)
    late_ms = _late_ms(mark(workers)[0])
    _note_latency(here, "undisturbed", late_ms)


def _frozen(here: Desk, server: LoadServer, workers: list[Worker], sizes: Sizes) -> None:
    figures = here.report.figures
    reader = workers[1]
    before = count([workers[0]])
    watch = _Watch(server)
    here.say("frozen phase")
    reader.freeze()
    figures["frozen_at_s"] = time.monotonic()
    mark([workers[0]])
    time.sleep(sizes.phase_s)
    late_ms = _late_ms(mark([workers[0]])[0])
    held = list(held_for(FROZEN, server.port).values())
    now = count([workers[0]])
    figures["rss_before_mib"], figures["rss_peak_mib"] = watch.end()
    figures["rss_grown_mib"] = figures["rss_peak_mib"] - figures["rss_before_mib"]
    figures["thawed_at_s"] = time.monotonic()
    reader.thaw()
    _note_latency(here, "frozen", late_ms)
    waiting = (now["acked"] - before["acked"]) - (now["shown"] - before["shown"])
    sent_bytes = waiting // sizes.frozen * sizes.large_bytes
    figures["waiting_at_thaw"] = waiting
    figures["sent_each_mib"] = sent_bytes / 2**20
    figures["kernel_each_mib"] = _mean([x.unsent_bytes + x.unread_bytes for x in held]) / 2**20
    figures["paused"] = paused(held, sent_bytes, sizes.outgoing_bytes)


def shown_between(path: Path, from_s: float, to_s: float) -> int:
    """Count the messages that a journal says were shown between two moments."""
    return sum(isinstance(each, h.Displayed) and from_s < each.at_s < to_s for each in h.load(path))


def _late_ms(tally: dict[str, Any]) -> list[float]:
    return [late_ns / 1e6 for _, late_ns in tally["late_ns"]]


def _note_latency(here: Desk, phase: str, late_ms: list[float]) -> None:
    figures = here.report.figures
    for percent in (50, 99):
        figures[f"{phase}_p{percent}_ms"] = percentile(late_ms, percent)
    figures[f"{phase}_samples"] = len(late_ms)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0


class _Watch:
    """Looks at the server's memory in a thread, until it is told to end."""

    def __init__(self, server: LoadServer) -> None:
        self._server = server
        self._before_mib = self._peak_mib = server.gauge().rss_mib
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> tuple[float, float]:
        """Stop; give the first value and the highest, in MiB."""
        self._ended.set()
        self._thread.join()
        return self._before_mib, self._peak_mib

    def _look(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self._peak_mib = max(self._peak_mib, self._server.gauge().rss_mib)
