"""What an idle connection takes, and what of it: `python -m benchmarks.memory`, in about a minute.

The sum is what the resident memory of a fresh server grows by, for each device that logs in over
TLS and then idles; the kernel's part of a socket is not in it. The parts come from processes that
hold connections up to one layer only: a transport, TLS around it, a connection that has not logged
in, a session. Each is a fresh process, and gives unused memory back before it is weighed; what the
sum is larger by is what logins leave free in the heap. So the parts add up to the sum.

A second process of each layer counts Python's objects (tracemalloc), by the file that made them.
What they do not explain is memory of C: OpenSSL's sessions and buffers, and the allocators' own.

Beside the sum stands what a connection holds in addition once it has been busy and idles again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import uvloop

from benchmarks import idle, load, targets
from benchmarks.layers import TRACE, TRIM, Layer
from benchmarks.machine import machine
from benchmarks.peer import Peer, connect
from jim.core.limits import WINDOW
from jim.launch.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from benchmarks.peer import Account, Address

SHOWN_BYTES: Final = 50
"""Of Python's objects a connection: files with less are shown together."""


@dataclass(frozen=True)
class Stage:
    """How far connections go; `opens` makes one for each account."""

    title: str
    layer: Layer
    opens: Callable[[Address, list[Account]], Awaitable[list[Peer]]]


@dataclass(frozen=True)
class Weight:
    """Of a connection at one stage, in bytes: resident, and Python's objects by file."""

    resident: float
    objects: Mapping[str, float]

    @property
    def python(self) -> float:
        """All of Python's objects."""
        return sum(self.objects.values())


@dataclass(frozen=True)
class Row:
    """A part of what a connection takes, in bytes: Python's objects, and the rest."""

    title: str
    resident: float
    python: float

    @property
    def other(self) -> float:
        """OpenSSL, and what the allocators need themselves."""
        return self.resident - self.python


async def plain(address: Address, accounts: list[Account]) -> list[Peer]:
    """Connect without TLS, and say nothing."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Peer, *address) for _ in accounts]
    return [peer for _, peer in opened]


async def shaken(address: Address, accounts: list[Account]) -> list[Peer]:
    """Shake hands, and say nothing."""
    gate = asyncio.Semaphore(load.LOGINS_AT_ONCE)

    async def enter() -> Peer:
        async with gate:
            return await connect(Peer, address)

    return list(await asyncio.gather(*(enter() for _ in accounts)))


BUSY_PAIRS: Final = 200
BUSY_BODY: Final = b"x" * 4096
"""A window of such messages is the largest read of the event loop and a page of the store."""

BUSY_AT_ONCE: Final = 10
"""Pairs: 2.6 MB under way, so that nothing waits long for the generator."""

STAGES: Final = (
    Stage("transport of the event loop", Layer.TRANSPORT, plain),
    Stage("TLS: channel and OpenSSL's session", Layer.TLS, shaken),
    Stage("connection, not logged in", Layer.SERVER, shaken),
    Stage("session in its place", Layer.SERVER, load.idle),
)
LEFT: Final = "free, but left in the heap by logins"


class Holder:
    """A process of `benchmarks.layers`."""

    def __init__(self, address: Address, pid: int, questions: socket.socket) -> None:
        self.address = address
        self._pid = pid
        self._stream = questions.makefile("rw", encoding="utf-8")

    def ask(self, question: str) -> Any:
        """Ask, and wait for the answer."""
        self._stream.write(question + "\n")
        self._stream.flush()
        return json.loads(self._stream.readline())

    def resident(self) -> dict[str, int]:
        """Give the resident bytes, after unused memory has been given back."""
        self.ask(TRIM)
        return {"": targets.rss_kib(self._pid) * 1024}

    def objects(self) -> dict[str, int]:
        """Give the bytes of Python's objects by file."""
        found: dict[str, int] = self.ask(TRACE)
        return found


@asynccontextmanager
async def holding(layer: Layer, data: Path, *options: str) -> AsyncIterator[Holder]:
    """Run a process that holds connections up to a layer."""
    ours, theirs = socket.socketpair()
    port = free_port()
    with ours, theirs:
        words = ["-m", "benchmarks.layers", layer, str(port), str(data), str(theirs.fileno())]
        with targets.running([*words, *options], port, [theirs.fileno()]) as (address, pid):
            yield Holder(address, pid, ours)


async def grown(
    stage: Stage,
    held: Holder,
    accounts: list[Account],
    uncounted: int,
    read: Callable[[], Mapping[str, int]],
) -> dict[str, float]:
    """Open connections; give by how much each of them lets every reading grow."""
    first = await stage.opens(held.address, accounts[:uncounted])
    await asyncio.sleep(idle.REST_S)
    before = read()
    rest = await stage.opens(held.address, accounts[uncounted:])
    await asyncio.sleep(idle.REST_S)
    after = read()
    await load.hang_up([*first, *rest])
    return {key: (size - before.get(key, 0)) / len(rest) for key, size in after.items()}


async def weighed(stage: Stage, data: Path, accounts: list[Account], uncounted: int) -> Weight:
    """Weigh the connections of a stage, in a fresh process for each kind of reading."""
    async with holding(stage.layer, data) as held:
        resident = await grown(stage, held, accounts, uncounted, held.resident)
    async with holding(stage.layer, data, TRACE) as held:
        objects = await grown(stage, held, accounts, uncounted, held.objects)
    return Weight(resident[""], objects)


async def kept(address: Address, pid: int) -> float:
    """Give by how many bytes a connection has grown once a full window went through it.

    Half of the connections have sent it, the others have received it, and all of it is confirmed.
    The first half of the pairs is not counted: it pays for the blocks that the server keeps for the
    next commit (`jim.server.loops.KEPT_BYTES`), once for all of them.
    """
    pairs = await load.open_pairs(address, 2 * BUSY_PAIRS, "busy", plain_relay=False)
    for sender in pairs.senders:
        sender.burst(1)  # what the first message allocates is no buffer
    await _full_windows(pairs, pairs.senders[:BUSY_PAIRS])
    await asyncio.sleep(idle.REST_S)
    before_kib = targets.rss_kib(pid)
    await _full_windows(pairs, pairs.senders[BUSY_PAIRS:])
    await asyncio.sleep(idle.REST_S)
    grown_kib = targets.rss_kib(pid) - before_kib
    await pairs.aclose()
    return grown_kib * 1024 / (2 * BUSY_PAIRS)


async def _full_windows(pairs: load.Pairs, senders: Sequence[load.Sender]) -> None:
    """Let a window of long messages go through the connections of some of the pairs."""
    await pairs.settle()
    for start in range(0, len(senders), BUSY_AT_ONCE):
        for sender in senders[start : start + BUSY_AT_ONCE]:
            sender.burst(WINDOW, BUSY_BODY)
        await pairs.settle()


def rows_of(weights: Sequence[Weight], total: float) -> list[Row]:
    """Give what each stage adds to the one before it, and what is missing to the total."""
    rows = []
    before = Weight(0.0, {})
    for stage, weight in zip(STAGES, weights, strict=True):
        added = weight.resident - before.resident, weight.python - before.python
        rows.append(Row(stage.title, *added))
        before = weight
    return [*rows, Row(LEFT, total - before.resident, 0.0)]


async def measured(count: int, uncounted: int = idle.UNCOUNTED) -> dict[str, Any]:
    """Measure so many connections; give the figures as they stand in the JSON file, in bytes."""
    with TemporaryDirectory() as place:
        data = Path(place)
        say(f"{uncounted + count:,} devices register …")
        accounts = await idle.registered(data, uncounted + count)
        say("the whole server …")
        with targets.our_server(data=data) as (address, pid):
            whole = await idle.measure(address, pid, accounts, uncounted)
        weights = []
        for stage in STAGES:
            say(f"{stage.title} …")
            weights.append(await weighed(stage, data, accounts, uncounted))
    say("connections that have been busy …")
    with targets.our_server() as (address, pid):
        busy = await kept(address, pid)
    total = whole.kib_per_connection * 1024
    return {
        "machine": machine(),
        "connections": whole.connections,
        "total": total,
        "busy": busy,
        "rows": [asdict(row) | {"other": row.other} for row in rows_of(weights, total)],
        "objects": dict(sorted(weights[-1].objects.items(), key=lambda item: -item[1])),
    }


def table(figures: Mapping[str, Any]) -> str:
    """Give the figures for people, in bytes."""
    head = f"{'bytes a connection':40}{'resident':>10}{'Python':>10}{'other':>10}"
    rows = [
        f"{row['title']:40}{row['resident']:>10,.0f}{row['python']:>10,.0f}{row['other']:>10,.0f}"
        for row in figures["rows"]
    ]
    python = sum(row["python"] for row in figures["rows"])
    total = figures["total"]
    rows.append(f"{'together':40}{total:>10,.0f}{python:>10,.0f}{total - python:>10,.0f}")
    window = f"after {WINDOW * len(BUSY_BODY) // 1024} KiB went through, more"
    rows.append(f"{window:40}{figures['busy']:>10,.0f}")
    objects = figures["objects"]
    shown = {name: size for name, size in objects.items() if size >= SHOWN_BYTES}
    rest = sum(objects.values()) - sum(shown.values())
    lines = [f"{size:>10,.0f}  {name}" for name, size in (shown | {"others": rest}).items()]
    return "\n".join([head, *rows, "", "Python's objects of a session, by the file:", *lines])


def say(text: str) -> None:
    """Tell whoever waits what is going on."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--connections", type=int, default=1000, help="that count")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    targets.raise_descriptor_limit()
    targets.pin(targets.LOAD_CORE)
    figures = uvloop.run(measured(options.connections))
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
