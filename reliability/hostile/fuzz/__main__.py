"""`python -m reliability.hostile.fuzz codec|session|sync --runs N`: one target at a time."""

from __future__ import annotations

import argparse
import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from reliability.arguments import base64_bytes, positive, result_file
from reliability.hostile.fuzz import driver
from reliability.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz one target; gives 0, or 1 if an input breaks it."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.corpus is not None and options.corpus.exists() and not options.corpus.is_dir():
        parser.error(f"argument --corpus: {options.corpus} is no directory")
    if options.replay is not None:
        driver.load_target(options.target)(options.replay)
        print(f"{options.target}: this input breaks nothing")
        return 0
    engine = options.engine or ("atheris" if driver.has_atheris() else "mutation")
    if engine == "atheris":
        driver.fuzz_with_atheris(
            options.target,
            options.runs,
            seed=options.seed,
            corpus=options.corpus,
            tell=lambda outcome: _write(options.json, outcome),
        )
        return 0
    reason = "" if driver.has_atheris() else " (atheris is not installed for this Python)"
    print(f"{options.target}: seeded mutation of the corpus, without coverage{reason}", flush=True)
    with Progress(options.runs, "runs") as progress:
        outcome = driver.fuzz(options.target, options.runs, seed=options.seed, tell=progress.show)
    _write(options.json, outcome)
    return _report(outcome)


def _write(file: Path | None, outcome: driver.Outcome) -> None:
    if file is not None:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)) + b"\n")


def _report(outcome: driver.Outcome) -> int:
    rate = outcome.runs / max(outcome.seconds, 1e-9)
    print(
        f"{outcome.target}: {outcome.runs:,} runs in {outcome.seconds:.1f} s, {rate:,.0f} a second"
    )
    if outcome.failure is None:
        print(f"{outcome.target}: nothing broke")
        return 0
    print(outcome.failure.trace)
    content = base64.b64encode(outcome.failure.content).decode()
    print(f"{outcome.target}: BROKEN by (try it with --replay) {content}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.hostile.fuzz",
        description="Fuzz one target with atheris, or without it by seeded mutation.",
        epilog="\n".join(f"{name}: {text}" for name, text in driver.TARGETS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", choices=tuple(driver.TARGETS))
    parser.add_argument(
        "--runs", type=positive, default=100_000, help="inputs to try (default: 100000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="number of the campaign (default: 1)")
    parser.add_argument("--corpus", type=Path, help="directory for what atheris finds new")
    parser.add_argument("--replay", type=base64_bytes, metavar="BASE64", help="run this one input")
    parser.add_argument(
        "--json", type=result_file, metavar="FILE", help="write the result here too"
    )
    parser.add_argument(
        "--engine",
        choices=("atheris", "mutation"),
        help="default: atheris if it is installed, else mutation",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
