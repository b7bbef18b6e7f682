"""Figures as `benchmarks.compare` collects them, small enough to be seen through."""

from __future__ import annotations

from typing import Any

from benchmarks.workloads import POINTS, summed_up


def rate(*rates: float, share: float = 0.3, lost: int = 0) -> dict[str, Any]:
    return summed_up([{"rate": value, "share": share, "lost": lost} for value in rates])


def late(*values_ms: float, **more: float) -> dict[str, Any]:
    return summed_up([dict.fromkeys(POINTS, value) | more for value in values_ms])


def waited(waiting: int, store_rate: float, rate: float, **more: float) -> dict[str, Any]:
    found = {"waiting": waiting, "store_rate": store_rate, "store_s": waiting / store_rate}
    found |= {"rate": rate, "fetch_s": waiting / rate, "share": 0.1, "store_share": 0.4}
    return summed_up([found | more])


def system(
    key: str, title: str, *, tls: bool = True, durable: bool = False, **workloads: Any
) -> Any:
    return {
        "key": key,
        "title": title,
        "tls": tls,
        "durable": durable,
        "workloads": workloads,
        "failures": {},
    }


def run(*systems: Any) -> dict[str, Any]:
    machine = {
        "date": "2026-11-28",
        "cores": "2",
        "processor": "a processor",
        "kernel": "6.18",
        "python": "3.11.7",
        "loop": "uvloop 0.23",
        "flush_ms": 0.12,
        "command": "python -m benchmarks.compare",
    }
    return {"machine": machine, "versions": {"JIM": "jim-server 0.1.0"}, "systems": list(systems)}
