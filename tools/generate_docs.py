"""Write the pages of docs/ that follow from the code: `python -m tools.generate_docs [--check]`.

Two are whole pages; the others are parts between `<!-- generated: python -m … -->` and
`<!-- end -->`.
`--check` changes nothing and fails, with one line for each page that is out of date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from jim.protocol import pages as protocol_pages
from jim.server import pages as server_pages

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).resolve().parents[1] / "docs"
WHOLE = ("errors", "commands")
SOURCES = {
    f"{module.__name__} {name}": text
    for module in (protocol_pages, server_pages)
    for name, text in module.PAGES.items()
}

_PART = re.compile(
    r"(?P<begin><!-- generated: python -m (?P<source>[\w. ]+) -->\n).*?(?P<end><!-- end -->)",
    re.DOTALL,
)


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a stale page")
    check = parser.parse_args(arguments).check
    stale = [(path, text) for path, text in wanted() if current(path) != text]
    for path, text in stale:
        if check:
            print(f"docs: {path.name} is out of date: run `make docs`", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def wanted() -> Iterator[tuple[Path, str]]:
    """Yield every page that is generated, at least in part, as it has to be."""
    for name in WHOLE:
        yield DOCS / f"{name}.md", protocol_pages.PAGES[name]()
    for path in sorted(DOCS.glob("*.md")):
        before = current(path)
        if path.stem not in WHOLE and _PART.search(before):
            yield path, _PART.sub(_filled, before)


def current(path: Path) -> str:
    """Read a page; one that is missing is empty."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _filled(match: re.Match[str]) -> str:
    return f"{match['begin']}{SOURCES[match['source']]()}{match['end']}"


if __name__ == "__main__":
    sys.exit(main())
