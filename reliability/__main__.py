"""`python -m reliability`: say which programs there are."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS: Final = {
    "reliability.simulate": "the pure core under seeded schedules",
    "reliability.virtual": "server and client library whole, on a virtual loop and network",
    "reliability.sealed": "devices that seal for each other, with their real stores",
    "reliability.faults": "real processes under real faults",
    "reliability.hostile": "malformed input against codec, server and client",
    "reliability.hostile.fuzz": "one fuzz target, for as long as wanted",
    "reliability.load": "crowds, floods and full stores",
    "reliability.planted": "every planted bug, and how long it takes to be caught",
    "reliability.campaign": "all of it in turn, for hours",
}
"""Module to what it runs, in the order of docs/reliability.md."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the list; gives 0."""
    _parser().parse_args(argv)
    _parser().print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    programs = "\n".join(f"  python -m {name:<26}{text}" for name, text in PROGRAMS.items())
    return argparse.ArgumentParser(
        prog="python -m reliability",
        description="The proof that what was acknowledged is neither lost nor doubled.",
        epilog=f"programs (each has --help):\n{programs}\n\nShort form of all: make faults",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


if __name__ == "__main__":
    sys.exit(main())
