"""`python -m reliability.load SCENARIO`: one load fault, or all of them, with a report."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

import msgspec

from benchmarks.targets import raise_descriptor_limit
from reliability.arguments import duration, result_file
from reliability.load import frozen, leak, restart, slowloris, storm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reliability.load.figures import Report

TOPICS = {
    "frozen": "readers that stop reading, and what the others feel of it",
    "storm": "kill -9 under thousands of sessions that all come back",
    "slowloris": "thousands of connections that never log in",
    "leak": "constant traffic with reconnects: memory, descriptors, threads, database",
    "restart": "start on a store full of waiting messages",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; gives 1 if any check failed."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.minutes and options.scenario not in ("leak", "all"):
        parser.error("--minutes is the length of the leak run")
    raise_descriptor_limit()
    names = list(TOPICS) if options.scenario == "all" else [options.scenario]
    reports: list[Report] = []
    for name in names:
        reports.append(_scenario(name, options)())
        print(reports[-1].text(), flush=True)
        if options.json:
            options.json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)))
    return 0 if all(report.good for report in reports) else 1


def _scenario(name: str, options: argparse.Namespace) -> Callable[[], Report]:
    form = "full" if options.full else "short"
    full = form == "full"
    if name == "leak":
        sizes = leak.FULL if full else leak.SHORT
        if options.minutes:
            sizes = msgspec.structs.replace(sizes, seconds=options.minutes * 60)
        samples = options.json.with_suffix(".samples.jsonl") if options.json else None
        return lambda: leak.run(sizes, form, samples)
    return {
        "frozen": lambda: frozen.run(frozen.FULL if full else frozen.SHORT, form),
        "storm": lambda: storm.run(storm.FULL if full else storm.SHORT, form),
        "slowloris": lambda: slowloris.run(slowloris.FULL if full else slowloris.SHORT, form),
        "restart": lambda: restart.run(restart.FULL if full else restart.SHORT, form),
    }[name]


def _parser() -> argparse.ArgumentParser:
    topics = "\n".join(f"  {name:<11}{text}" for name, text in TOPICS.items())
    parser = argparse.ArgumentParser(
        prog="python -m reliability.load",
        description="Runs one load fault, or all of them, and holds it against its bar.",
        epilog=f"scenarios:\n{topics}\n  {'all':<11}one after the other",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", choices=[*TOPICS, "all"], metavar="SCENARIO")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--short", action="store_true", help="seconds, for CI (the default)")
    form.add_argument("--full", action="store_true", help="the sizes that the bar names")
    parser.add_argument("--minutes", type=duration, metavar="M", help="length of the leak run")
    help_text = "write the reports to this file; samples of the leak run go beside it as they come"
    parser.add_argument("--json", type=result_file, metavar="FILE", help=help_text)
    return parser


if __name__ == "__main__":
    # So that no server is left behind by a run that is cut short.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
