"""Measures whether what waits in the store costs the others: `python -m benchmarks.stocked`.

Servers with 0, 1 M and 10 M waiting messages, all filled through the store's own code and all
started, are measured in turn in the same rounds; those that are not measured are stopped. What
waits belongs to accounts that nobody logs in with, except for the last workload: there the
messages go to people who are away, with a large backlog each. The method: docs/performance.md.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks import generator, load, own, targets
from benchmarks.peer import Account, connect
from benchmarks.peers import jim
from benchmarks.peers.base import HOST
from benchmarks.rounds import QUICK, Pace, Row, measure, say
from benchmarks.stocked_report import AWAY, complaints, text_of
from benchmarks.workloads import BODY_BYTES, WORKLOADS, summary

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.peer import Address
    from benchmarks.stocking import Member, Stock

MESSAGES: Final = "0,1000000,10000000"
QUICK_MESSAGES: Final = "0,100000"

MEASURED: Final = ("w64", "w1", "latency")
"""Of the workloads of the comparison: the fullest, the emptiest, and the schedule."""

PAIRS: Final = 50
"""Of every one of these workloads, and of senders to people who are away."""

MAILBOXES: Final = 1_000
"""That nobody collects: with 10 M messages each is as full as a mailbox may be by default."""

DEEP_SHARE: Final = 10
"""Every tenth message waits for one of the people whom the last workload writes to: with 1 M
messages each of them has 2,000, with 10 M 20,000."""

POSTED_AT_ONCE: Final = 1_000
"""Messages of a commit while filling: about one a mailbox, so that what waits lies as scattered as
if it had come one by one, and not in long segments."""

WINDOW: Final = 64
"""Of a sender to people who are away: as in the fullest workload."""

TOLD: Final = 10
"""How often, while a store is filled, whoever waits is told."""

STARTS: Final = 3
"""Of each server: median and range."""


@dataclass
class Store:
    """A server on its store, and what was measured of it.

    Attributes:
        starts_s: from the start of the process until the port listens.
        rss_mib: of the server that has started and serves nobody yet.
    """

    messages: int
    fill_s: float
    disk_mib: float
    starts_s: list[float] = field(default_factory=list)
    rss_mib: float = 0.0

    def figures(self, row: Row) -> dict[str, Any]:
        """Give what stands in the JSON file."""
        return {
            "messages": self.messages,
            "deep_messages": self.messages // DEEP_SHARE // PAIRS,
            "fill_s": self.fill_s,
            "disk_mib": self.disk_mib,
            "start_s": summary(self.starts_s),
            "rss_mib": self.rss_mib,
            "workloads": row.figures()["workloads"],
            "failures": row.failures,
        }


def deep(index: int) -> str:
    """Name somebody who is away and has a large backlog."""
    return f"deep{index}"


def addressee(index: int) -> str:
    """Name whom the message of this place waits for."""
    turn, place = divmod(index, DEEP_SHARE)
    if place == DEEP_SHARE - 1:
        return deep(turn % PAIRS)
    return f"w{(index - turn) % MAILBOXES}"


def waiting(senders: Sequence[Member], messages: int) -> Iterator[tuple[Member, int, str, str]]:
    """Give the messages that wait: sender, its number, addressee, text."""
    for index in range(messages):
        number, sender = divmod(index, len(senders))
        text = f"{index} ".ljust(BODY_BYTES, "x")
        yield senders[sender], number + 1, addressee(index), text


def fill(stock: Stock, messages: int) -> None:
    """Put the accounts and the messages into a store; say how far it is."""
    names = [f"w{index}" for index in range(MAILBOXES)]
    stock.enlist(names + [deep(index) for index in range(PAIRS)])
    senders = stock.enlist(f"x{index}" for index in range(PAIRS))
    coming, done = waiting(senders, messages), 0
    while chunk := list(itertools.islice(coming, POSTED_AT_ONCE)):
        stock.post(chunk)
        done += len(chunk)
        if done * TOLD // messages > (done - len(chunk)) * TOLD // messages:
            say(f"  {done:,} of {messages:,} stored")


@contextlib.contextmanager
def stocked_server(scratch: Path, messages: int, starts: int) -> Iterator[tuple[Store, Row]]:
    """Fill a store, start its server several times, and give it, stopped.

    Raises:
        PeerError: the server does not start.
    """
    with own.directory(scratch) as place:
        say(f"filling a store with {messages:,} messages …")
        began_s = time.monotonic()
        own.enlist(place, own.pair_names(PAIRS), lambda stock: fill(stock, messages))
        store = Store(messages, time.monotonic() - began_s, own.disk_bytes(place) / 2**20)
        for _ in range(starts - 1):
            with own.serving(place) as (_, took_s):
                store.starts_s.append(took_s)
        with own.serving(place) as (server, took_s):
            store.starts_s.append(took_s)
            store.rss_mib = targets.rss_kib(server.pid) / 2**10
            say(f"  it starts in {took_s:.2f} s")
            server.pause()
            yield store, Row(jim.PEER.systems[0], tls=True, server=server)


class Away(load.Pairs):
    """Senders to people who are away: what is stored has gone as far as it goes."""

    @property
    def received(self) -> int:
        """As many as were stored: nobody collects them."""
        return self.stored


async def away_rate(address: Address, names: Sequence[str], pace: Pace) -> dict[str, Any]:
    """Keep a window full to each of these people; give messages stored a second.

    The senders are new to the server.
    """
    senders = [await connect(load.Sender, address) for _ in names]
    for sender, name in zip(senders, names, strict=True):
        await sender.login(Account(f"new{secrets.token_hex(8)}"))
        sender.go_raw()
        sender.to = name.encode()
    pairs = Away(senders, [])
    began_s, cpu_s = time.perf_counter(), time.process_time()
    rate = await load.throughput(pairs, WINDOW, pace.warm_s, pace.measure_s)
    share = (time.process_time() - cpu_s) / (time.perf_counter() - began_s)
    found = {"rate": rate, "share": share, "lost": 0, "wrong": pairs.errors}
    for sender in senders:
        sender.transport.close()
    return found


def measure_away(row: Row, pace: Pace) -> None:
    """Measure a round of messages to people who are away; a failure is noted."""
    row.server.resume()
    try:
        address = HOST, row.server.place.tls_port
        found = uvloop.run(away_rate(address, [deep(index) for index in range(PAIRS)], pace))
        row.rounds.setdefault(AWAY, []).append(found)
    except OSError as error:  # a connection lost, or nothing stored any more: TimeoutError
        row.failures[AWAY] = str(error)[:300]
    finally:
        row.server.pause()


def rounds_of(rows: Sequence[Row], program: Path, pace: Pace) -> None:
    """Measure everything, in turn; what adds to the stores comes last.

    Every other round begins with the last of the servers: none is always the first.
    """
    workloads = [workload for workload in WORKLOADS if workload.key in MEASURED]
    orders = [rows[:: 1 if number % 2 else -1] for number in range(1, pace.rounds + 1)]
    for number, order in enumerate(orders, 1):
        for workload in workloads:
            say(f"round {number}: {workload.title} …")
            for row in order:
                measure(row, workload, program, pace)
    for number, order in enumerate(orders, 1):
        say(f"round {number}: to people who are away …")
        for row in order:
            measure_away(row, pace)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Fill, start and measure; give the figures.

    Raises:
        GeneratorError: the generator cannot be compiled.
        PeerError: a server does not start.
    """
    pace = QUICK if options.quick else Pace(options.warm, options.seconds, options.rounds)
    program = generator.compiled()
    starts = 1 if options.quick else STARTS
    with contextlib.ExitStack() as stack:
        stores, rows = zip(
            *(
                stack.enter_context(stocked_server(options.scratch, messages, starts))
                for messages in options.messages
            ),
            strict=True,
        )
        targets.pin(targets.LOAD_CORE)
        rounds_of(rows, program, pace)
    return {
        "machine": own.machine("stocked", options.scratch),
        "pace": vars(pace),
        "stores": [store.figures(row) for store, row in zip(stores, rows, strict=True)],
    }


def sizes(text: str) -> list[int]:
    """Read numbers of messages with commas between them.

    Raises:
        ValueError: one is none.
    """
    return [int(part) for part in text.split(",")]


def parsed() -> argparse.Namespace:
    """Read the arguments."""
    parser = own.parser("stocked", __doc__)
    parser.add_argument("--messages", type=sizes, help=f"of each store, default {MESSAGES}")
    parser.add_argument("--seconds", type=float, default=2.0, help="a round of a workload")
    parser.add_argument("--warm", type=float, default=0.5, help="before each round, seconds")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.messages is None:
        options.messages = sizes(QUICK_MESSAGES if options.quick else MESSAGES)
    return options


def main() -> int:
    """Measure and print; fail when a workload failed or a message was lost or misplaced."""
    options = parsed()
    targets.raise_descriptor_limit()
    return own.reported(lambda: measured(options), text_of, complaints, options.json)


if __name__ == "__main__":
    raise SystemExit(main())
