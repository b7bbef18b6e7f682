"""`python -m reliability.hostile`: everything malformed against codec, server and client.

`python -m reliability.hostile traitor` plays the attacks of a malicious server alone.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from reliability.arguments import duration_or_none, positive, result_file
from reliability.hostile import client_check, codec_check, program_check
from reliability.hostile.fuzz import driver
from reliability.hostile.honest import Pair
from reliability.hostile.report import Report, Section
from reliability.hostile.server import AttackedServer
from reliability.hostile.server_check import Attack, check_health
from reliability.hostile.treason import check as treason
from reliability.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHORT_EVERY: Final = 12
"""In a short run every twelfth case goes to live programs: all kinds, in seconds. The codec gets
all of them in any run."""

SHORT_FUZZ_S: Final = 12.0
"""For each fuzz target in a short run: 36 s of the 90 that it may take."""

LONG_FUZZ_S: Final = 60.0

WARM_ROUNDS: Final = 2
"""Of the costliest attack before memory is looked at: they bring the allocator near its high-water
mark. Measured: 57 MB at the start, 74 after one round, 95 after two, then up to 100 MB after ten,
where it stays."""

GROWTH_BYTES: Final = 12_000_000
"""What the server's memory may grow by after the warm-up: twice what is left to that plateau. A
leak of 2 KiB for each of the 6,000 sessions that follow would be as much, one of the bombs' frames
of 256 KiB far more."""


async def attack_server(directory: Path, every: int, progress: Progress) -> list[Section]:
    """Attack one server with everything while two people talk through it."""
    sections: list[Section] = []
    async with AttackedServer(directory / "server") as server:
        pair = Pair(server.port, directory / "people")
        await pair.start()
        attack = Attack(server.port, every)
        for number in range(1, WARM_ROUNDS + 1):
            progress.say(f"server: warm-up {number}")
            await attack.after_login()
            await attack.streams()
        before_bytes = server.rss_bytes()
        for act in (
            attack.front_door,
            attack.streams,
            attack.before_login,
            attack.after_login,
            attack.names,
        ):
            progress.say(f"server: {act.__name__.replace('_', ' ')}")
            sections.append(await act())
        progress.say("server: two people who talk meanwhile")
        honest = Section("honest people meanwhile")
        await pair.finish(honest)
        sections += [honest, check_health(server, before_bytes, GROWTH_BYTES)]
    if server.status != 0:
        sections[-1].violate(f"it ended with status {server.status}")
    return sections


def fuzz(limit_s: float, seed: int, progress: Progress) -> list[Section]:
    """Fuzz each target for a while, by seeded mutation."""
    sections = []
    for target in driver.TARGETS:
        progress.say(f"fuzz {target}")
        tell = _runs_told(target, progress)
        outcome = driver.fuzz(target, sys.maxsize, seed=seed, limit_s=limit_s, tell=tell)
        section = Section(f"fuzz {target}, seeded mutation, seed {seed}", cases=outcome.runs)
        section.figures["runs_a_second"] = outcome.runs / max(outcome.seconds, 1e-9)
        if outcome.failure is not None:
            section.violate(f"{outcome.failure.content.hex()}: {outcome.failure.trace}")
        sections.append(section)
    return sections


def _runs_told(target: str, progress: Progress) -> Callable[[int], None]:
    return lambda done: progress.note(f"fuzz {target}: {done:,} runs")


def run(options: argparse.Namespace) -> Report:
    """Run all parts, or the short share of each."""
    began_s = time.monotonic()
    with Progress(quiet=options.quiet) as progress:
        sections = _parts(options, progress)
    return Report(time.monotonic() - began_s, sections)


def _treason(progress: Progress) -> Section:
    with tempfile.TemporaryDirectory(prefix="jim-treason-") as name:
        return asyncio.run(treason.check(Path(name), tell=progress.say))


def _parts(options: argparse.Namespace, progress: Progress) -> list[Section]:
    if options.part == "traitor":
        return [_treason(progress)]
    every = options.every or (SHORT_EVERY if options.short else 1)
    progress.say("codec")
    sections = [codec_check.run(every=max(1, every // SHORT_EVERY))]
    with tempfile.TemporaryDirectory(prefix="jim-hostile-") as name:
        directory = Path(name)
        sections += asyncio.run(attack_server(directory / "attack", every, progress))
        progress.say("client library, lying server")
        sections.append(asyncio.run(client_check.check_library(directory, every)))
        progress.say("client programs, lying server")
        sections.append(asyncio.run(program_check.check_programs(directory / "programs")))
    sections.append(_treason(progress))
    fuzz_s = options.fuzz_s
    if fuzz_s is None:
        fuzz_s = SHORT_FUZZ_S if options.short else LONG_FUZZ_S
    if fuzz_s > 0:
        sections += fuzz(fuzz_s, options.seed, progress)
    return sections


def main(argv: Sequence[str] | None = None) -> int:
    """Run, report, and give 0, or 1 if anything was violated."""
    options = _parser().parse_args(argv)
    report = run(options)
    print(report.text())
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    return 1 if report.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.hostile",
        description="Malformed input against codec, a live server and the client: corpora, torture"
        " sets and fuzzing; a server that is malicious. Longer fuzzing: python -m"
        " reliability.hostile.fuzz.",
    )
    parser.add_argument(
        "part", nargs="?", choices=["traitor"], help="the malicious server alone (default: all)"
    )
    parser.add_argument("--short", action="store_true", help="a share of everything, 90 s at most")
    parser.add_argument("--every", type=positive, metavar="N", help="send only every N-th case")
    parser.add_argument(
        "--fuzz-s",
        type=duration_or_none,
        metavar="S",
        help="seconds for each fuzz target (0: none)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzing (default: 1)")
    parser.add_argument(
        "--json", type=result_file, metavar="FILE", help="also write the report as JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


if __name__ == "__main__":
    sys.exit(main())
