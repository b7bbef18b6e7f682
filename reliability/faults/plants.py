"""Bugs to plant in the programs under test, from outside: the proof that the harness catches them.

None of them is an option of a program; each is a start of it with something put in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from reliability.injectors.system import library

if TYPE_CHECKING:
    from pathlib import Path

_CARELESS: Final = """
import sqlite3

_connect = sqlite3.connect


class Careless(sqlite3.Connection):
    def execute(self, statement, *arguments):
{body}


def connect(*arguments, **options):
    return _connect(*arguments, factory=Careless, **options)


sqlite3.connect = connect
"""
"""Python imports `sitecustomize` before anything else (docs.python.org, module `site`)."""

_UNFLUSHED: Final = """\
        if "synchronous" in statement:
            statement = "PRAGMA synchronous = {mode}"
        return super().execute(statement, *arguments)
"""

_DEAF: Final = """\
        try:
            return super().execute(statement, *arguments)
        except sqlite3.OperationalError:
            if statement != "COMMIT":
                raise
            return super().execute("ROLLBACK" if self.in_transaction else "SELECT 1")
"""


_FORGETFUL: Final = """
from jim.client.console.shown import Shown

Shown.written = lambda self, message: None
"""

_HASTY: Final = """
from jim.client.console.shown import Shown

_advance, _written = Shown.advance, Shown.written


def advance(self, message):
    is_new = _advance(self, message)
    if is_new:
        _written(self, message)
    return is_new


Shown.advance, Shown.written = advance, lambda self, message: None
"""

_KEYLESS: Final = """
from jim.client import Client

_send = Client.send
Client.send = lambda self, to, text, *, key=None: _send(self, to, text)
"""


def lying_fsync() -> dict[str, str]:
    """Give the environment in which flushing the disk does nothing, and says that it did."""
    found = library("libeatmydata")
    assert found is not None, "libeatmydata is not installed"
    return {"LD_PRELOAD": str(found)}


def careless_sqlite(directory: Path, mode: Literal["OFF", "NORMAL"]) -> dict[str, str]:
    """Give the environment in which every database is opened with this `synchronous`."""
    return _careless(directory, _UNFLUSHED.format(mode=mode))


def deaf_sqlite(directory: Path) -> dict[str, str]:
    """Give the environment in which a commit that failed passes for one that did not."""
    return _careless(directory, _DEAF)


def shown_is_not_noted(directory: Path) -> dict[str, str]:
    """Give the environment in which front ends do not note what they have shown."""
    return _custom(directory, _FORGETFUL)


def noted_before_shown(directory: Path) -> dict[str, str]:
    """Give the environment in which front ends note a message before they print it."""
    return _custom(directory, _HASTY)


def send_without_key(directory: Path) -> dict[str, str]:
    """Give the environment in which `jim send` takes no notice of its `--id`."""
    return _custom(directory, _KEYLESS)


def _careless(directory: Path, body: str) -> dict[str, str]:
    return _custom(directory, _CARELESS.format(body=body))


def _custom(directory: Path, program: str) -> dict[str, str]:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(program)
    return {"PYTHONPATH": str(directory)}
