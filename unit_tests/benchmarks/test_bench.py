from __future__ import annotations

from typing import Any

from benchmarks import __main__ as bench
from benchmarks.lateness import POINTS


def rate(median: float, errors: int = 0) -> dict[str, Any]:
    spread = {"median": median, "low": median - 1, "high": median + 1}
    return spread | {"load_share": 0.25, "errors": errors, "cpu_us": {"median": 4.44}}


def late(value_ms: float, per_s: int) -> dict[str, Any]:
    points = dict.fromkeys(POINTS, value_ms)
    return points | {"per_s": per_s, "samples": 9, "generator_p99_ms": 0.07, "errors": 0}


def figures(errors: int = 0) -> dict[str, Any]:
    def system(scale: float, errors: int) -> dict[str, Any]:
        return {
            "window 64": rate(1000 * scale, errors),
            "window 1": rate(100 * scale),
            "crowd": rate(500 * scale),
            bench.FIXED: late(1.5 * scale, 2000),
            bench.HALF: late(7.25 * scale, 500),
        }

    idle = {
        "kib_per_connection": 18.04,
        "connections": 800,
        "logins_per_s": 600.0,
        "login_cpu_ms": 1.0,
    }
    return {"jim": system(1, errors) | {"idle": idle}, "relay": system(2, 0)}


def test_the_table_has_rates_with_ratios_and_all_percentiles() -> None:
    lines = [" ".join(line.split()) for line in bench.table(figures()).splitlines()]
    assert lines[1] == "window 64 1,000 (999-1,001) 2,000 (1,999-2,001) 0.50 25% 4.4"
    assert lines[5] == "ms, fresh server p50 p90 p99 p99.9 max generator's p99"
    assert lines[6] == "JIM, 2,000/s 1.50 1.50 1.50 1.50 1.50 0.07"
    assert lines[9] == "relay, 500/s 14.50 14.50 14.50 14.50 14.50 0.07"
    assert lines[11] == "an idle TLS connection takes 18.0 KiB (800 connections, fresh server)"


def test_every_refusal_counts_as_an_error() -> None:
    assert bench.errors(figures()) == 0
    assert bench.errors(figures(errors=3)) == 3
