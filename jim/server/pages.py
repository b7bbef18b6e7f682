"""Write the tables of docs/operations.md from the code: settings, and limits with their reasons.

`python -m jim.server.pages settings|limits` prints one; a test compares them with the page.
"""

from __future__ import annotations

import ast
import inspect
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from jim.core.limits import Limits
from jim.server import settings as s
from jim.server.arguments import FLAGS

if TYPE_CHECKING:
    from collections.abc import Callable

    from msgspec import Struct


def settings_table() -> str:
    """Give a row for each setting: key, flags, variable, default, and whether SIGHUP changes it."""
    lines = ["| key | flags | variable | default | on SIGHUP |", "|---|---|---|---|---|"]
    notes = _notes(s.Settings)
    for name, flags in FLAGS.items():
        default = _shown(s.value_of(s.Settings(), name))
        spelled = ", ".join(f"`{flag}`" for flag in flags)
        reload = "yes" if name in s.RELOADABLE else "restart"
        lines.append(f"| `{name}` | {spelled} | `{s.variable(name)}` | {default} | {reload} |")
    lines += ["", *(f"- `{name}`: {notes[name]}" for name in FLAGS if name in notes)]
    return "\n".join(lines) + "\n"


def limits_table() -> str:
    """Give a row for each limit: key, default, and what is written beside it in the code."""
    lines = ["| key | default | |", "|---|---|---|"]
    notes = _notes(Limits)
    for name in Limits.__struct_fields__:
        default = _shown(getattr(Limits(), name))
        lines.append(f"| `{name}` | {default} | {notes.get(name, '')} |")
    return "\n".join(lines) + "\n"


PAGES: Final[dict[str, Callable[[], str]]] = {"settings": settings_table, "limits": limits_table}


def main(argv: list[str]) -> int:
    """Print the table that is named."""
    if len(argv) != 1 or argv[0] not in PAGES:
        sys.stderr.write(f"usage: python -m jim.server.pages {'|'.join(PAGES)}\n")
        return 2
    sys.stdout.write(PAGES[argv[0]]())
    return 0


def _notes(struct: type[Struct]) -> dict[str, str]:
    """Collect the text under each field; Python keeps it only in the source."""
    (tree,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - it is the source of a class
    notes: dict[str, str] = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            notes[ast.unparse(field.target)] = " ".join(str(text).split())
    return notes


def _shown(value: object) -> str:
    return f"`{msgspec.json.encode(value).decode()}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
