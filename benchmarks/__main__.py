"""`make bench`: our server beside the reference relay in one run, in about two minutes.

Every figure is the median of several rounds with its spread; the server has core 0, the generator
core 1, and the generator's own share of its core is printed, for above 90 % it would be the
bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks import load, targets
from benchmarks.machine import machine
from benchmarks.peer import Account, Address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAIRS, CROWD, RATE_PER_S = 50, 1000, 2000
"""The method of docs/performance.md: 50 pairs; a crowd of 1,000 with window 4; 2,000 a second."""


def share(started: tuple[float, float]) -> float:
    """Give this process's share of its core since `started`."""
    wall, cpu = started
    return (time.process_time() - cpu) / (time.perf_counter() - wall)


def clock() -> tuple[float, float]:
    """Read wall and CPU time of this process."""
    return time.perf_counter(), time.process_time()


def summary(values: list[float]) -> dict[str, float]:
    """Give median and range."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def percentile_ms(values_ns: list[int], percent: float) -> float:
    """Give a percentile of nanoseconds in milliseconds."""
    ordered = sorted(values_ns)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1e6


async def rate_of(
    address: Address, options: argparse.Namespace, *, pairs: int, window: int, relay: bool
) -> dict[str, Any]:
    """Measure one throughput workload in several rounds on the same connections."""
    opened = await load.open_pairs(address, pairs, f"w{window}x{pairs}", plain_relay=relay)
    started = clock()
    rates: list[float] = []
    while len(rates) < options.rounds:
        rates.append(await load.throughput(opened, window, 0.5, options.seconds))
    result = summary(rates) | {"load_share": share(started), "errors": opened.errors}
    opened.close()
    return result


async def late_of(address: Address, options: argparse.Namespace, *, relay: bool) -> dict[str, Any]:
    """Measure the open-loop latency, from the due time to the arrival."""
    opened = await load.open_pairs(address, PAIRS, "late", plain_relay=relay)
    await load.latency(opened, options.rate, 1.0)
    started = clock()
    late = await load.latency(opened, options.rate, options.seconds * options.rounds)
    points = {f"p{p:g}_ms": percentile_ms(late, p) for p in (50, 90, 99, 99.9)}
    result = points | {"load_share": share(started), "samples": len(late)}
    opened.close()
    return result


async def memory_and_logins(address: Address, pid: int, count: int) -> dict[str, Any]:
    """Measure memory an idle TLS connection, and logins of known devices with full handshake."""
    accounts = [Account(f"idle{i}") for i in range(count)]
    first = await load.idle(address, accounts[: count // 5])
    before = targets.rss_kib(pid)
    rest = await load.idle(address, accounts[count // 5 :])
    grown = targets.rss_kib(pid) - before
    for peer in (*first, *rest):
        peer.transport.close()
    await asyncio.sleep(0.5)
    started, cpu = time.perf_counter(), targets.cpu_s(pid)
    again = await load.idle(address, accounts)
    wall = time.perf_counter() - started
    used = targets.cpu_s(pid) - cpu
    for peer in again:
        peer.transport.close()
    return {
        "kib_per_connection": grown / len(rest),
        "connections": len(rest),
        "logins_per_s": count / wall,
        "login_cpu_ms": 1000 * used / count,
    }


async def measure(
    address: Address, pid: int, options: argparse.Namespace, *, relay: bool
) -> dict[str, Any]:
    """Run all workloads against one target."""
    result: dict[str, Any] = {}
    steps: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
        "window 64": lambda: rate_of(address, options, pairs=PAIRS, window=64, relay=relay),
        "window 1": lambda: rate_of(address, options, pairs=PAIRS, window=1, relay=relay),
        "crowd": lambda: rate_of(address, options, pairs=options.crowd, window=4, relay=relay),
        "latency": lambda: late_of(address, options, relay=relay),
    }
    if not relay:
        steps["idle"] = lambda: memory_and_logins(address, pid, options.idle)
    for name, step in steps.items():
        print(f"  {name} …", file=sys.stderr, flush=True)
        result[name] = await step()
    return result


def show(ours: dict[str, Any], reference: dict[str, Any], per_s: int) -> None:
    """Print the table."""
    print(f"{'':22}{'JIM, durable, TLS':>28}{'bare relay, TLS':>24}{'ratio':>8}{'load':>7}")
    for name in ("window 64", "window 1", "crowd"):
        mine, other = ours[name], reference[name]
        spread = f"{mine['median']:,.0f}/s ({mine['low']:,.0f}-{mine['high']:,.0f})"
        ratio = mine["median"] / other["median"]
        rest = f"{other['median']:>22,.0f}/s{ratio:>8.2f}{mine['load_share']:>7.0%}"
        print(f"{name:22}{spread:>28}{rest}")
    for point in ("p50_ms", "p90_ms", "p99_ms", "p99.9_ms"):
        mine, other = ours["latency"][point], reference["latency"][point]
        label = f"{per_s}/s {point[:-3]}"
        print(f"{label:22}{mine:>25.2f} ms{other:>21.2f} ms{mine / other:>8.2f}")
    rest = ours["idle"]
    print(f"memory per idle TLS connection {rest['kib_per_connection']:.1f} KiB", end="")
    print(f" ({rest['connections']} connections)")
    print(f"logins {rest['logins_per_s']:.0f}/s, {rest['login_cpu_ms']:.2f} ms of server CPU each")


def main() -> int:
    """Measure and print; `--json FILE` keeps the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="a round of a workload")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=RATE_PER_S, help="of the latency, messages/s")
    parser.add_argument("--crowd", type=int, default=CROWD, help="pairs of the crowd")
    parser.add_argument("--idle", type=int, default=1000, help="idle connections")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    targets.raise_descriptor_limit()
    targets.pin(targets.LOAD_CORE)
    print("the bare relay:", file=sys.stderr)
    with targets.reference_relay() as (address, pid):
        reference = uvloop.run(measure(address, pid, options, relay=True))
    print("our server:", file=sys.stderr)
    with targets.our_server() as (address, pid):
        ours = uvloop.run(measure(address, pid, options, relay=False))
    show(ours, reference, options.rate)
    if options.json:
        figures = {"machine": machine(), "jim": ours, "relay": reference}
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if any(ours[name]["errors"] for name in ("window 64", "window 1", "crowd")) else 0


if __name__ == "__main__":
    raise SystemExit(main())
