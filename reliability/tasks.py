"""What a campaign consists of: for each task the command of a slice, and how to read its report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from reliability.faults.registry import load as load_faults

if TYPE_CHECKING:
    from reliability.faults.model import Fault

FAULT_SEED: Final = 1_000
"""Seeds of the faults begin here, above those that people try by hand."""

FUZZ_INPUTS: Final = {"codec": 100_000, "session": 10_000, "sync": 50_000}
"""Of one slice: about as long each. The server's session takes 50 to 500 a second, the codec
thousands."""


class Done(Struct, frozen=True):
    """What a slice reports.

    Attributes:
        runs: that came to their end.
        acks: messages acknowledged in them.
        failures: runs that broke something.
    """

    runs: int
    acks: int = 0
    failures: int = 0


class Task(Struct, frozen=True):
    """Something that can be done any number of times.

    Attributes:
        name: in the report.
        unit: what is counted.
        amount: of units in one slice.
        share: of the time, beside the other tasks.
        command: gives the arguments after `python -m` for a first seed, an amount and a file.
        read: gives what that file reports; may raise anything where it reports nothing.
        missing: what this machine lacks for it.
    """

    name: str
    unit: str
    amount: int
    share: float
    command: Callable[[int, int, str], list[str]]
    read: Callable[[Any], Done]
    missing: str = ""


def tasks() -> list[Task]:
    """Give everything that a campaign consists of.

    The amounts take a minute or less on an idle machine.
    """
    found = [
        Task(
            *("simulated core", "schedules", 20_000, 3.0),
            _command("reliability.simulate", "--seeds", "--start"),
            _read_seeds,
        ),
        Task(
            *("virtual loop", "runs", 1_000, 3.0),
            _command("reliability.virtual", "--runs", "--seed"),
            _read_seeds,
        ),
    ]
    for target, amount in FUZZ_INPUTS.items():
        command = _command(f"reliability.hostile.fuzz {target}", "--runs", "--seed")
        found.append(Task(f"fuzz {target}", "inputs", amount, 0.5, command, _read_fuzz))
    return found + [_fault(each) for each in load_faults().values()]


def _command(name: str, count: str, first: str) -> Callable[[int, int, str], list[str]]:
    """Call a program that counts its seeds upwards from a first one."""
    return lambda seed, amount, file: [
        *name.split(),
        *(count, str(amount), first, str(seed), "--json", file),
    ]


def _read_seeds(result: Any) -> Done:
    return Done(result["runs"], result["acked"], len(result["failures"]))


def _read_fuzz(result: Any) -> Done:
    return Done(result["runs"], failures=int(result["failure"] is not None))


def _fault(each: Fault) -> Task:
    def command(seed: int, amount: int, file: str) -> list[str]:
        first = FAULT_SEED + seed
        arguments = ["reliability.faults", each.name, "--cycles", str(amount)]
        return [*arguments, "--seed", str(first), "--json", file]

    def read(result: Any) -> Done:
        one = result[each.name]
        return Done(one["cycles"], one["acks"], int(bool(one["violations"])))

    return Task(each.name, "cycles", max(1, each.short * 3), 1.0, command, read, each.missing())
