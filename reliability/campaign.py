"""`python -m reliability.campaign --hours H`: every layer of the proof in turn, for hours.

The work is cut into slices of a minute or two, each a process of its own with seeds that no slice
before had. After every slice the state is on disk: stopped at any moment, the same command goes on
where it was. Only what a slice itself reports as done counts as done. The report says what was run,
what failed, and what that proves (95 %).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field

from reliability import faults
from reliability.arguments import duration
from reliability.confidence import upper_bound
from reliability.tasks import Done, Task, tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(faults.__file__).resolve().parents[2]

STATE: Final = "state.json"

SLICE_S: Final = 600.0
"""A slice that takes longer than this hangs: the amounts below take one to four minutes on two
cores that do six times as much work as they can."""

REST_S: Final = 10.0
"""To read what a killed slice has printed: it is in the pipe already."""

MOST_FAILURES: Final = 20
"""Kept per task, each with its output; a task that fails more often fails always."""


class Record(Struct):
    """How far a task has come.

    Attributes:
        done: as the slices report it.
        acks: likewise.
        seconds_s: of work, also of that which came to nothing.
        next_seed: no slice has had it yet.
        failed: runs that broke something, and slices that reported nothing.
        timed_out: slices that were ended after `SLICE_S`.
    """

    done: int = 0
    acks: int = 0
    seconds_s: float = 0.0
    next_seed: int = 0
    failed: int = 0
    timed_out: int = 0
    failures: list[str] = field(default_factory=list)
    """Command lines that fail, with the files that hold their output."""


class State(Struct):
    """Everything that is kept between two slices."""

    seconds_s: float = 0.0
    records: dict[str, Record] = field(default_factory=dict)


def chosen(names: Iterable[str]) -> list[Task]:
    """Give the tasks of these names, all without any.

    Raises:
        KeyError: there is no task of such a name.
    """
    known = {task.name: task for task in tasks()}
    return [known[name] for name in names] or list(known.values())


class Campaign:
    """The tasks, their records, and the directory where both live."""

    def __init__(self, directory: Path, names: Iterable[str] = ()) -> None:
        """Go on with what is in the directory, made if it is not there.

        Args:
            directory: for state, failures and report.
            names: of the tasks; all without any.

        Raises:
            KeyError: there is no task of such a name.
            OSError: the directory cannot be used.
            msgspec.DecodeError: the state in it cannot be read.
        """
        self.tasks = chosen(names)
        # Slices run in the checkout, wherever this program was started.
        self.directory = directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / STATE
        self.state = (
            msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else State()
        )
        for task in self.tasks:
            self.state.records.setdefault(task.name, Record())

    def next_task(self) -> Task | None:
        """Choose who has had the least time for its share; None if nothing can be run here."""
        able = [task for task in self.tasks if not task.missing]
        if not able:
            return None
        return min(able, key=lambda task: self._record(task).seconds_s / task.share)

    def run_slice(self, task: Task) -> bool:
        """Run one slice and keep what came of it; tells whether all was well."""
        record = self._record(task)
        file = self.directory / "slice.json"
        file.unlink(missing_ok=True)
        seed = record.next_seed
        command = [sys.executable, "-m", *task.command(seed, task.amount, str(file))]
        # On disk first: a slice that kills this program is not tried again for ever.
        record.next_seed += task.amount
        self._save()
        began_s = time.monotonic()
        status, output = _run(command)
        took_s = time.monotonic() - began_s
        record.seconds_s += took_s
        self.state.seconds_s += took_s
        good = _count(record, status, _reported(task, file))
        if not good:
            self._note_failure(task, record, command, output)
        self._save()
        return good

    def report(self) -> str:
        """Word everything that was run so far."""
        head = (
            f"{'what':<24} {'done':>12} {'acks':>12} {'failed':>6} {'timed out':>9}"
            f" {'below, 95 %':>12} {'hours':>6}"
        )
        lines = [f"{self.state.seconds_s / 3600:.2f} hours of work", head]
        for task in self.tasks:
            record = self._record(task)
            if task.missing:
                lines.append(f"{task.name:<24} not run: needs {task.missing}")
                continue
            bound = f"{upper_bound(record.done, record.failed):.2g}" if record.done else "-"
            lines.append(
                f"{task.name:<24} {record.done:>12,} {record.acks:>12,} {record.failed:>6}"
                f" {record.timed_out:>9} {bound:>12} {record.seconds_s / 3600:>6.2f}"
            )
            lines += [f"    {failure}" for failure in record.failures]
        return "\n".join(lines)

    def figures(self) -> dict[str, Any]:
        """Give the report as data."""
        rows = {}
        for task in self.tasks:
            record = self._record(task)
            row = msgspec.to_builtins(record)
            row["unit"] = task.unit
            row["upper_bound_95"] = upper_bound(record.done, record.failed) if record.done else None
            row["not_run_needs"] = task.missing or None
            rows[task.name] = row
        return {"seconds_s": round(self.state.seconds_s, 1), "tasks": rows}

    @property
    def failed(self) -> int:
        """What failed or was not ended in time, of all tasks."""
        records = [self._record(task) for task in self.tasks]
        return sum(record.failed + record.timed_out for record in records)

    def _record(self, task: Task) -> Record:
        return self.state.records[task.name]

    def _note_failure(self, task: Task, record: Record, command: list[str], output: str) -> None:
        number = len(record.failures) + 1
        if number <= MOST_FAILURES:
            file = self.directory / f"failure-{task.name.replace(' ', '-')}-{number}.txt"
            file.write_text(output, encoding="utf-8")
            record.failures.append(f"python {' '.join(command[1:])} > {file.name}")

    def _save(self) -> None:
        """Write the state so that a crash leaves the old or the new one."""
        path = self.directory / STATE
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(self.state))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


def _reported(task: Task, file: Path) -> Done | None:
    """Read what a slice reports; None if it does not."""
    try:
        return task.read(json.loads(file.read_bytes()))
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it is no report
        return None


def _count(record: Record, status: int | None, done: Done | None) -> bool:
    """Count what a slice has done; tells whether all was well.

    One that reports nothing has done nothing; so has one that ends with an error and names no run
    that failed: it says that it proves nothing.
    """
    if status is None:
        record.timed_out += 1
        return False
    if done is None or (status and not done.failures):
        record.failed += 1
        return False
    record.done += done.runs
    record.acks += done.acks
    record.failed += done.failures
    return not status and not done.failures


def _run(command: list[str]) -> tuple[int | None, str]:
    """Run a slice in a group of its own, so that nothing of it outlives its time.

    Gives its status, None if it had to be ended, and what it printed.
    """
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as program:
        try:
            output, _ = program.communicate(timeout=SLICE_S)
        except BaseException as error:
            os.killpg(program.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return None, f"{_rest(program)}\nit took longer than {SLICE_S:.0f} s"
    return program.returncode, output


def _rest(program: subprocess.Popen[str]) -> str:
    """Give everything that a slice printed until it was killed."""
    try:
        return program.communicate(timeout=REST_S)[0]
    except subprocess.TimeoutExpired:
        return "what it printed is held by a process that it left behind"


def main(argv: list[str] | None = None) -> int:
    """Run a campaign; gives 1 if anything failed in it, 2 for wrong usage."""
    options = _parser().parse_args(argv)
    try:
        if options.list:
            print("\n".join(f"{task.name} ({task.unit})" for task in chosen(options.names)))
            return 0
        campaign = Campaign(options.state, options.names)
    except KeyError as error:
        print(f"no such task: {error.args[0]}; --list names them", file=sys.stderr)
        return 2
    except (OSError, msgspec.DecodeError) as error:
        print(f"cannot go on with what is in {options.state}: {error}", file=sys.stderr)
        return 2
    ends_s = time.monotonic() + options.hours * 3600
    try:
        _go_on(campaign, ends_s)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here")
    print(campaign.report())
    result = options.state / "report.json"
    result.write_text(json.dumps(campaign.figures(), indent=1) + "\n", encoding="utf-8")
    print(f"as data: {result}")
    return 1 if campaign.failed else 0


def _go_on(campaign: Campaign, ends_s: float) -> None:
    while time.monotonic() < ends_s and (task := campaign.next_task()) is not None:
        good = campaign.run_slice(task)
        record = campaign.state.records[task.name]
        left_h = max(0.0, ends_s - time.monotonic()) / 3600
        word = "well" if good else "FAILED"
        print(
            f"{task.name}: {word}, {record.done:,} {task.unit}; {campaign.failed} failures in all,"
            f" {left_h:.2f} h left",
            flush=True,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.campaign",
        description="Runs every layer of the proof in turn; the same command again goes on.",
    )
    parser.add_argument("names", nargs="*", metavar="TASK", help="only these (see --list)")
    parser.add_argument(
        "--hours", type=duration, default=1.0, metavar="H", help="how long (default 1)"
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("campaign"),
        metavar="DIR",
        help="where state, failures and report are kept (default: campaign)",
    )
    parser.add_argument("--list", action="store_true", help="name the tasks")
    return parser


if __name__ == "__main__":
    sys.exit(main())
