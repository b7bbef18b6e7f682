"""Name modules that have grown too long: `python -m tools.module_lengths`.

Over 400 lines a module needs a reason: a comment `# long module: <reason>` in its first lines.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("jim", "tools", "unit_tests", "benchmarks", "reliability")

LIMIT_LINES = 400
"""Architecture: modules have about 250 lines, over 400 needs a reason."""

REASON = "# long module: "
REASON_WITHIN_LINES = 40
"""The reason stands at the top: after the docstring at the latest."""


def main(root: Path = ROOT) -> int:
    """Print the long modules; fail when one gives no reason."""
    status = 0
    for path, lines, reason in long_modules(root):
        print(f"{path.relative_to(root)}: {lines} lines: {reason or 'no reason given'}")
        status = status if reason else 1
    return status


def long_modules(root: Path) -> list[tuple[Path, int, str]]:
    """Return path, number of lines and reason of each module over the limit."""
    found = []
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            lines = path.read_text(encoding="utf-8").splitlines()
            if len(lines) > LIMIT_LINES:
                found.append((path, len(lines), _reason(lines)))
    return found


def _reason(lines: list[str]) -> str:
    for line in lines[:REASON_WITHIN_LINES]:
        if line.startswith(REASON):
            return line.removeprefix(REASON).strip()
    return ""


if __name__ == "__main__":
    sys.exit(main())
