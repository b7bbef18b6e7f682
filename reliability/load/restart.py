"""Restart with a large store: how long until the first new message is acknowledged.

The store is filled before; then the server is started after a clean end and after kill -9, with
the file in the system's cache and without it. Every time one client waits to send and one to
receive what was stored for it.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from benchmarks.stocking import Member, stocked
from reliability import history as h
from reliability.load.crew import crew
from reliability.load.desk import Desk, desk
from reliability.load.figures import Check, Report, at_least, at_most
from reliability.load.population import Orders, Route, dismiss, mark, populate, settle
from reliability.promise import Demands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reliability.load.server import LoadServer

RETRY_S = 0.005
"""Between two attempts of the waiting clients: what it adds to the time is below one per cent."""
KILL_AFTER = 200
"""New messages before kill -9, so that it leaves a log to recover from."""
PER_S = 1_000
"""Of these, so that several are in the same commit."""
KINDS = {"clean": "clean end", "killed": "after kill -9", "cold": "cold file"}
"""The starts that are measured, in this order, and how they are called."""


class Sizes(Struct, frozen=True, kw_only=True):
    """How much is stored, and what is demanded."""

    messages: int
    recipients: int
    senders: int = 50
    text_bytes: int = 100
    first_ack_s: float = 2.0
    """From the issue: with a million messages stored."""


SHORT = Sizes(messages=20_000, recipients=100)
FULL = Sizes(messages=1_000_000, recipients=1_000)


def run(sizes: Sizes, form: str) -> Report:
    """Fill a store, and start a server on it again and again."""
    with desk("restart", form, sizes) as here, here.server() as server:
        _run(here, server, sizes)
    return here.report


def judge(figures: dict[str, Any], sizes: Sizes) -> list[Check]:
    """Hold the measured starts against the demands; each kind of start must have been measured."""
    checks = [at_least("messages stored", figures["stored"], sizes.messages)]
    for kind, name in KINDS.items():
        took_s = figures.get(f"{kind}_first_ack_s", float("inf"))
        checks.append(at_most(f"first ack, {name}", took_s, sizes.first_ack_s, "s"))
        took_s = figures.get(f"{kind}_first_shown_s", float("inf"))
        checks.append(at_most(f"first delivery, {name}", took_s, sizes.first_ack_s, "s"))
    status = figures.get("clean_stop_status")
    return [*checks, Check("clean end", status == 0, f"status {status}")]


def killed(status: int) -> h.Fault:
    """Note that the server was killed, if that is how it ended."""
    return h.Fault(time.monotonic(), "kill", fired=status == -signal.SIGKILL)


def _run(here: Desk, server: LoadServer, sizes: Sizes) -> None:
    report, figures = here.report, here.report.figures
    here.say(f"storing {sizes.messages} messages")
    started_s = time.monotonic()
    people = _fill(server, sizes)
    figures["preparing_s"] = time.monotonic() - started_s
    figures["stored"] = sizes.messages
    figures["database_mib"] = server.database.stat().st_size / 2**20
    for turn, kind in enumerate(KINDS):
        here.say(f"start: {KINDS[kind]}")
        if kind == "cold":
            _forget_file(server)
        _start(here, server, kind, people[turn * 2 : turn * 2 + 2], sizes)
        if kind == "clean":
            figures["kill_status"] = server.kill()
        elif kind == "killed":
            figures["clean_stop_status"] = server.stop()
    figures["rss_mib"] = server.gauge().rss_mib
    devices = {person.name: [person.identity.device] for person in people}
    demands = Demands(devices=devices, acks=3 * KILL_AFTER, faults={"kill": 1})
    more = [*_stored_before(people, sizes), killed(figures["kill_status"])]
    here.judge(demands, list(KINDS), more)
    report.checks += judge(figures, sizes)


def _fill(server: LoadServer, sizes: Sizes) -> list[Member]:
    """Store the messages; give three pairs of a recipient with a full mailbox and a sender.

    The messages go round the recipients, so that each mailbox is spread over the whole file.
    """
    with stocked(server.database) as stock:
        members = stock.enlist(f"r{i}" for i in range(sizes.recipients))
        senders = stock.enlist(f"s{i}" for i in range(sizes.senders))
        fresh = stock.enlist(f"fresh{i}" for i in range(3))

        def messages() -> Iterator[tuple[Member, int, str, str]]:
            for index in range(sizes.messages):
                sender, n = senders[index % len(senders)], index // len(senders) + 1
                to = members[index // len(senders) % len(members)].name
                yield sender, n, to, _text(sender.name, n, sizes)

        stock.post(messages())
    return [each for pair in zip(members[:3], fresh, strict=True) for each in pair]


def _text(sender: str, n: int, sizes: Sizes) -> str:
    return f"{sender}:{n} 0 ".ljust(sizes.text_bytes, "x")


def _stored_before(people: list[Member], sizes: Sizes) -> Iterator[h.Event]:
    """Tell what waits for the recipients that come: written and acknowledged before all else."""
    wanted = {f"r{i}" for i in range(3)}
    for index in range(sizes.messages):
        to = f"r{index // sizes.senders % sizes.recipients}"
        if to in wanted:
            sender, n = f"s{index % sizes.senders}", index // sizes.senders + 1
            uid, digest = f"{sender}:{n}", h.digest(_text(sender, n, sizes))
            yield h.Written(0.0, uid, sender, f"device of {sender}", to, digest)
            yield h.Acked(0.0, uid)


def _waiting(index: int, sizes: Sizes) -> int:
    """Count what waits for the recipient of that index."""
    rounds, rest = divmod(sizes.messages, sizes.senders * sizes.recipients)
    extra = min(max(rest - index * sizes.senders, 0), sizes.senders)
    return rounds * sizes.senders + extra


def _start(here: Desk, server: LoadServer, kind: str, pair: list[Member], sizes: Sizes) -> None:
    """Let a pair wait for the server, start it, and note when they were served."""
    figures = here.report.figures
    reader, sender = pair
    orders = Orders(
        address=server.address, members=pair, journal=here.journal(kind), retry_s=RETRY_S
    )
    route = Route(pairs=[(sender.name, reader.name)], per_s=PER_S, size_bytes=sizes.text_bytes)
    with crew((populate, orders)) as workers:
        workers[0].tell("connect", False)
        workers[0].hear("connected", 60)
        workers[0].tell("traffic", [structs.replace(route, count=1)])
        time.sleep(0.1)
        server.start(wait=False)
        index = int(reader.name[1:])
        settle(workers, _waiting(index, sizes))
        (tally,) = mark(workers)
        workers[0].tell("traffic", [structs.replace(route, count=KILL_AFTER)])
        time.sleep(KILL_AFTER / PER_S + 0.2)
        settle(workers, _waiting(index, sizes))
        figures[f"{kind}_first_ack_s"] = _since(server, tally["first_ack_s"])
        figures[f"{kind}_first_shown_s"] = _since(server, tally["first_shown_s"])
        figures[f"{kind}_caught_up_s"] = _since(server, max(tally["resumed_s"], default=0.0))
        dismiss(workers)


def _since(server: LoadServer, at_s: float) -> float:
    return at_s - server.started_s if at_s else float("inf")


def _forget_file(server: LoadServer) -> None:
    """Drop the database out of the system's cache, as after a reboot."""
    descriptor = os.open(server.database, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
