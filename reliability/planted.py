"""`python -m reliability.planted`: put every planted bug in and see that its layer catches it.

The checker is worth what it can see. Every bug of the catalogues (`plants.py` of `simulate`,
`virtual` and `sealed`, `faults/catching.py`) is switched on in a process of its own, the layer
looks for it from its first seed on, and the table says what rule caught it and when. One that is
caught too late is not caught.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from reliability.arguments import positive, result_file
from reliability.faults import catching
from reliability.plants import CAUGHT_WITHIN_S
from reliability.sealed import plants as sealed_plants
from reliability.sealed import running as sealed
from reliability.simulate import plants as core_plants
from reliability.simulate import running as core
from reliability.virtual import plants as virtual_plants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES_WITHIN_S: Final = 120.0
"""For bugs in real programs, by the clock on the wall: dozens of them start, and on a busy machine
the slowest was caught after 63 s (docs/reliability.md): it misses the bar of the other layers."""


class Row(Struct, frozen=True):
    """One bug.

    Attributes:
        layer: core, virtual, sealed or processes.
        name: of the bug.
        story: what goes wrong.
        rule: that caught it; empty if none did.
        where: the seed or cycle at which it was caught.
        seconds: until then; of processor time, but for processes.
        skipped: what this machine lacks for it.
        instead: what was seen, if it was not what the bug does.
    """

    layer: str
    name: str
    story: str
    rule: str = ""
    where: str = ""
    seconds: float = 0.0
    skipped: str = ""
    instead: str = ""

    @property
    def is_caught(self) -> bool:
        """Whether a rule caught it, and in time."""
        within_s = PROCESSES_WITHIN_S if self.layer == "processes" else CAUGHT_WITHIN_S
        return bool(self.rule) and self.seconds <= within_s


def _core(name: str) -> Row:
    plant = next(each for each in core_plants.PLANTS if each.name == name)
    found = core.catch(plant, CAUGHT_WITHIN_S)
    return Row("core", name, plant.story, found.rule, f"seed {found.seed}", found.seconds)


def _virtual(name: str) -> Row:
    story = (virtual_plants.PLANTS[name].__doc__ or "").splitlines()[0]
    found = virtual_plants.catch(name, limit_s=CAUGHT_WITHIN_S)
    return Row("virtual", name, story, found.rule or "", f"seed {found.seed}", found.took_s)


def _sealed(name: str) -> Row:
    plant = next(each for each in sealed_plants.PLANTS if each.name == name)
    found = sealed.catch(plant, CAUGHT_WITHIN_S)
    return Row("sealed", name, plant.story, found.rule, found.where, found.seconds)


def _processes(name: str) -> Row:
    plant = catching.PLANTS[name]
    if missing := plant.missing():
        return Row("processes", name, plant.story, skipped=missing)
    with tempfile.TemporaryDirectory(prefix="jim-planted-") as directory:
        found = catching.catch(name, Path(directory))
    where = f"cycle {found.cycle}"
    took = found.seconds_s
    return Row("processes", name, plant.story, found.rule, where, took, instead=found.instead)


_LAYERS: Final[dict[str, tuple[Callable[[], list[str]], Callable[[str], Row]]]] = {
    "processes": (lambda: list(catching.PLANTS), _processes),
    "virtual": (lambda: list(virtual_plants.PLANTS), _virtual),
    "sealed": (lambda: [plant.name for plant in sealed_plants.PLANTS], _sealed),
    "core": (lambda: [plant.name for plant in core_plants.PLANTS], _core),
}
"""The slowest first, so that all processes end at about the same time."""


def look_for(layer: str, name: str) -> Row:
    """Plant one bug and look for it, quietly."""
    with contextlib.redirect_stdout(io.StringIO()):
        return _LAYERS[layer][1](name)


def look_for_all(layers: list[str], jobs: int) -> Iterator[Row]:
    """Plant everything, one after the other in each process."""
    wanted = [(layer, name) for layer in layers for name in _LAYERS[layer][0]()]
    # Spawned: a bug is never planted where another one was.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        yield from pool.map(look_for, *zip(*wanted, strict=True))


def main(argv: list[str] | None = None) -> int:
    """Print the table; gives 1 if a bug was not caught in time, or none was at all."""
    options = _parsed(argv)
    rows = []
    for row in look_for_all(options.layers or list(_LAYERS), options.jobs):
        rows.append(row)
        print(worded(row), flush=True)
    caught = sum(row.is_caught for row in rows)
    skipped = sum(bool(row.skipped) for row in rows)
    print(f"{caught} of {len(rows)} caught" + (f", {skipped} skipped" if skipped else ""))
    if options.json:
        text = json.dumps(msgspec.to_builtins(rows), indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0 if caught and caught + skipped == len(rows) else 1


def _parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.planted", description="Sees every planted bug caught."
    )
    parser.add_argument("layers", nargs="*", metavar="LAYER", help=f"of {', '.join(_LAYERS)}")
    parser.add_argument("--jobs", type=positive, default=1, metavar="J", help="processes")
    parser.add_argument("--json", type=result_file, metavar="FILE", help="write the table here too")
    options = parser.parse_args(argv)
    if unknown := set(options.layers) - set(_LAYERS):
        parser.error(f"no such layer: {', '.join(sorted(unknown))}")
    return options


def worded(row: Row) -> str:
    """Give a row as a line of the table."""
    head = f"{row.layer:<10} {row.name:<28}"
    if row.skipped:
        return f"{head} skipped: needs {row.skipped}"
    found = f"{row.rule} at {row.where}" if row.rule else "NOT CAUGHT"
    if row.rule and not row.is_caught:
        found = f"TOO LATE: {found}"
    if row.instead:
        found = f"{found}, but {row.instead}"
    return f"{head} {row.seconds:6.1f} s  {found:<28} {row.story}"


if __name__ == "__main__":
    sys.exit(main())
