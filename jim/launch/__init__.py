"""Start a server and several clients at once, each where its user can see it.

`main` is the command `jim-launch`; `bootstrap` is what the scripts of a checkout call first.
Nothing is imported here before it is needed, because `bootstrap` has to work without any
dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the launcher and return its exit status."""
    from jim.launch.cli import main as run  # noqa: PLC0415

    return run(argv)
