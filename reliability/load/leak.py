"""A leak run: constant traffic with reconnects for as long as wanted, and what grows meanwhile.

Memory is judged by the slope of its least-squares line after the warm-up; descriptors and threads
have to be where they were once everybody has left; the database must not grow with what has been
delivered. Samples are written as they are taken, so a run that is cut short leaves its part.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct, structs

from benchmarks.stocking import Member, stocked
from reliability import history as h
from reliability.load.crew import Worker, crew
from reliability.load.desk import Desk, desk
from reliability.load.figures import Check, Report, at_least, at_most, slope
from reliability.load.population import Orders, Route, count, dismiss, populate, quiet, settle
from reliability.promise import Demands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reliability.load.server import Gauge, LoadServer

S_PER_HOUR = 3600
WARM_CHURN = 20
"""Times the reconnects during the warm-up: as connections come and go, the C heap's free pages are
touched one after the other, which looks like growth until all have been (the use is flat)."""
LEFT_S = 10.0
"""After the last client: the server has closed what they left within the 2 s of TLS's end."""
SAYS_EVERY = 30
"""Samples between two progress lines."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How long, how busy, and what is demanded."""

    seconds: float
    warm_s: float
    clients: int = 100
    messages_per_s: float = 100
    drops_per_s: float = 5
    sample_s: float = 1.0
    slope_mib_per_h: float
    database_mib: float = 96.0
    """Everything is collected within moments, so what stays is accounts and counters; SQLite's log
    is 32 MiB and more while a reader is behind."""


SHORT = Sizes(seconds=60, warm_s=20, clients=40, slope_mib_per_h=600)
"""600 MiB an hour are 7 MiB in these 40 seconds: what a page or two more of each arena amounts to;
a leak of one connection (40 KiB) each drop would be 720."""

FULL = Sizes(seconds=S_PER_HOUR, warm_s=600, slope_mib_per_h=1.0)
"""1 MB/h is the bar of the issue. The warm-up is long, since the allocator reaches its level only
after every kind of work has overlapped with every other."""


def run(sizes: Sizes, form: str, samples_file: Path | None = None) -> Report:
    """Run the traffic, and judge the samples."""
    with desk("leak", form, sizes) as here, here.server() as server:
        with stocked(server.database) as stock:
            members = stock.enlist(f"c{i}" for i in range(sizes.clients))
        server.start()
        _run(here, server, members, sizes, samples_file)
    return here.report


def judge(figures: dict[str, Any], sizes: Sizes) -> list[Check]:
    """Hold the run against the demands, and see that there was traffic and reconnects."""
    expected = sizes.messages_per_s * sizes.seconds / 2
    return [
        at_least("messages", figures["acked"], expected),
        at_least("sessions lost and made again", figures["losses"], sizes.drops_per_s),
        at_most("memory", figures["rss_slope_mib_per_h"], sizes.slope_mib_per_h, "MiB/h"),
        at_most("descriptors left behind", figures["descriptors_left"], 0),
        at_most("threads left behind", figures["threads_left"], 0),
        at_most("database at its largest", figures["database_max_mib"], sizes.database_mib, "MiB"),
        at_most("gaps in a mailbox", figures["gaps"], 0),
        at_most("refusals and tombstones", figures["errors"] + figures["notices"], 0),
    ]


def rss_slope_mib_per_h(samples: Sequence[Gauge], warm_s: float) -> float:
    """Give the slope of the memory after the warm-up; of the second half if that was too short."""
    begins_s = samples[0].at_s
    warm = [each for each in samples if each.at_s - begins_s >= warm_s]
    if len(warm) < 3:
        warm = list(samples[len(samples) // 2 :])
    return S_PER_HOUR * slope([(each.at_s, each.rss_mib) for each in warm])


def _run(
    here: Desk, server: LoadServer, members: list[Member], sizes: Sizes, file: Path | None
) -> None:
    figures = here.report.figures
    orders = Orders(
        address=server.address, members=members, journal=here.journal("clients"), subnet=30
    )
    with crew((populate, orders)) as workers:
        workers[0].tell("connect", True)
        workers[0].hear("connected", 60)
        # Now, when everything that is made once has been made: the log, the reader's files.
        full = server.gauge()
        before = structs.replace(full, descriptors=full.descriptors - sizes.clients)
        names = [member.name for member in members]
        ring = list(zip(names, names[1:] + names[:1], strict=True))
        route = Route(pairs=ring, per_s=sizes.messages_per_s, size_bytes=200)
        workers[0].tell("traffic", [route])
        workers[0].tell("churn", WARM_CHURN * sizes.drops_per_s)
        samples = list(_samples(here, server, workers, sizes, file))
        workers[0].tell("churn", 0.0)
        quiet(workers)
        counts, settled_s = settle(workers)
        dismiss(workers)
        after = _left(server, before)
    figures |= {name: counts[name] for name in ("acked", "losses", "gaps", "errors", "notices")}
    figures["descriptors_before"], figures["threads_before"] = before.descriptors, before.threads
    figures["rss_first_mib"], figures["rss_last_mib"] = samples[0].rss_mib, samples[-1].rss_mib
    figures["rss_slope_mib_per_h"] = rss_slope_mib_per_h(samples, sizes.warm_s)
    figures["descriptors_left"] = after.descriptors - before.descriptors
    figures["threads_left"] = after.threads - before.threads
    figures["database_max_mib"] = max(each.database_mib for each in samples)
    devices = {member.name: [member.identity.device] for member in members}
    demands = Demands(devices=devices, acks=round(sizes.seconds), faults={"drop": 1})
    dropped = h.Fault(time.monotonic(), "drop", fired=counts["losses"] > 0)
    here.judge(demands, ["clients"], [h.Settled(settled_s), dropped])
    here.report.checks += judge(figures, sizes)


def _samples(
    here: Desk, server: LoadServer, workers: list[Worker], sizes: Sizes, file: Path | None
) -> Iterator[Gauge]:
    """Sample until the time is over; each sample is in the file before the next one is taken."""
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(file.open("ab")) if file is not None else None
        begins_s, taken, warm = time.monotonic(), 0, False
        while time.monotonic() < begins_s + sizes.seconds:
            if not warm and time.monotonic() >= begins_s + sizes.warm_s:
                warm = True
                workers[0].tell("churn", sizes.drops_per_s)
            time.sleep(sizes.sample_s)
            gauge = server.gauge()
            if lines is not None:
                lines.write(msgspec.json.encode(gauge) + b"\n")
                lines.flush()
            if taken % SAYS_EVERY == 0:
                _say(here, gauge, count(workers))
            taken += 1
            yield gauge


def _say(here: Desk, gauge: Gauge, counts: dict[str, int]) -> None:
    here.say(
        f"{gauge.rss_mib:.1f} MiB, {gauge.descriptors} descriptors, {counts['acked']} acked, "
        f"{counts['losses']} reconnects"
    )


def _left(server: LoadServer, before: Gauge) -> Gauge:
    """Look at the server once everybody has left, or should have."""
    ends_s = time.monotonic() + LEFT_S
    while time.monotonic() < ends_s:
        now = server.gauge()
        if now.descriptors <= before.descriptors and now.threads <= before.threads:
            break
        time.sleep(0.2)
    return server.gauge()
