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


def _careless(directory: Path, body: str) -> dict[str, str]:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "sitecustomize.py").write_text(_CARELESS.format(body=body))
    return {"PYTHONPATH": str(directory)}
