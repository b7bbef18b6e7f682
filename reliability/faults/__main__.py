"""`python -m reliability.faults [NAME…]`: run faults; all of them without a name."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from reliability.arguments import positive, result_file
from reliability.faults.model import Result
from reliability.faults.registry import load
from reliability.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reliability.faults.model import Fault

COLUMNS: Final = "{:<22} {:>7} {:>8} {:>6} {:>10} {:>9}  {}"
"""Of the table: the longest name, and numbers of a campaign."""

MARK: Final = ".jim-fault"
"""A file in every directory that a run made: what has it may be removed."""

TERMINATED: Final = 143
"""What a shell reports for SIGTERM: 128 and the signal's number."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 if nothing was broken, 1 if something was, 2 for wrong usage.

    A fault that was asked for by name and cannot be run here is a failure.
    """
    chosen = _parser().parse_args(argv)
    faults = load()
    if unknown := [name for name in chosen.names if name not in faults]:
        print(f"no such fault: {', '.join(unknown)}; --list names them", file=sys.stderr)
        return 2
    wanted = [faults[name] for name in chosen.names or faults if _is_wanted(faults[name], chosen)]
    if chosen.list:
        _list(wanted)
        return 0
    try:
        base = _prepared(chosen.directory, wanted)
    except OSError as error:
        print(f"--directory: {error}", file=sys.stderr)
        return 2
    return _run_all(wanted, base, chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.faults",
        description="Runs real programs under real faults and holds them against the promise.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults; all if none is named")
    parser.add_argument("--list", action="store_true", help="name the faults and what they need")
    parser.add_argument(
        "--cycles", type=positive, metavar="N", help="of each fault; a short run if not given"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of everything left to chance")
    parser.add_argument("--keep", action="store_true", help="keep what good runs wrote, too")
    parser.add_argument("--directory", type=Path, metavar="DIR", help="for what the runs write")
    parser.add_argument(
        "--resume", action="store_true", help="go on with what is in the directory (write points)"
    )
    parser.add_argument(
        "--json", type=result_file, metavar="FILE", help="write the results there, too"
    )
    parser.add_argument(
        "--require-all",
        action="store_true",
        help="a fault that cannot be run here is a failure, also if it was not named",
    )
    return parser


def _is_wanted(fault: Fault, chosen: argparse.Namespace) -> bool:
    """Leave out of a short run what is too long for one."""
    return bool(fault.short or chosen.names or chosen.cycles or chosen.list)


def _list(faults: Sequence[Fault]) -> None:
    for fault in faults:
        needs = f" (needs {', '.join(fault.needs)})" if fault.needs else ""
        print(f"{fault.name:<22} {fault.description}{needs}")


def _prepared(directory: Path | None, faults: Sequence[Fault]) -> Path:
    """Give the directory for what the runs write, made if it is not there.

    Raises:
        OSError: it cannot be used, or a run would remove in it what no run has made.
    """
    base = directory or Path(tempfile.mkdtemp(prefix="jim-faults-"))
    base.mkdir(parents=True, exist_ok=True)
    for fault in faults:
        path = base / fault.name
        if path.exists() and any(path.iterdir()) and not (path / MARK).exists():
            raise FileExistsError(f"{path} is not empty and not from here; choose another place")
    return base


def _run_all(faults: Sequence[Fault], base: Path, chosen: argparse.Namespace) -> int:
    seed = time.time_ns() % 1_000_000 if chosen.seed is None else chosen.seed
    print(f"seed {seed}, directory {base}")
    print(COLUMNS.format("fault", "cycles", "acks", "fired", "violations", "seconds", ""))
    results: dict[str, Result | str] = {}
    for fault in faults:
        if missing := fault.missing():
            results[fault.name] = f"needs {missing}"
            print(f"{fault.name:<22} skipped: needs {missing}", flush=True)
            continue
        cycles = chosen.cycles or fault.short or 1
        if not chosen.resume:
            shutil.rmtree(base / fault.name, ignore_errors=True)
        results[fault.name] = result = run_one(fault, cycles, seed, base / fault.name)
        _show(fault, result, cycles, seed)
        if not (result.violations or chosen.keep):
            shutil.rmtree(base / fault.name, ignore_errors=True)
    _finish(base, results, chosen)
    return int(any(_is_bad(result, chosen) for result in results.values()))


def run_one(fault: Fault, cycles: int, seed: int, directory: Path) -> Result:
    """Run a fault; whatever goes wrong on the way is a violation as well."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MARK).touch()
    began_s = time.monotonic()
    try:
        with Progress() as progress:
            result = fault.run(
                cycles, seed, directory, lambda line: progress.say(f"{fault.name}: {line}")
            )
    except Exception as error:  # noqa: BLE001 - a harness that fails has proved nothing
        traceback.print_exc()
        result = Result(violations=[f"it could not be run: {error}"], kept=str(directory))
        result.seconds_s = time.monotonic() - began_s
    if not result.fired and not result.violations:
        result.violations.append("vacuous: the fault never fired")
    return result


def _show(fault: Fault, result: Result, cycles: int, seed: int) -> None:
    numbers = (result.cycles, result.acks, result.fired, len(result.violations))
    seconds = f"{result.seconds_s:.1f}"
    print(COLUMNS.format(fault.name, *numbers, seconds, result.details).rstrip(), flush=True)
    for violation in result.violations[:10]:
        print(f"    {violation}")
    if result.violations:
        again = f"python -m reliability.faults {fault.name} --cycles {cycles} --seed {seed} --keep"
        print(f"    kept in {result.kept}; again with: {again}", flush=True)


def _is_bad(result: Result | str, chosen: argparse.Namespace) -> bool:
    if isinstance(result, str):
        return bool(chosen.require_all or chosen.names)
    return bool(result.violations)


def _finish(base: Path, results: dict[str, Result | str], chosen: argparse.Namespace) -> None:
    if chosen.json is not None:
        chosen.json.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    if not any(base.iterdir()):
        base.rmdir()


if __name__ == "__main__":
    # So that whoever stops the run leaves neither programs nor mounts behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.exit(main())
