"""Say where the log files are and make that directory; never write into it."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

ENVIRONMENT_VARIABLE = "JIM_LOG_DIR"
"""Overrides the place: tests, containers, several servers on one machine."""

DIRECTORY_MODE = 0o700
"""Logs name people and addresses: they are their owner's business (security.md, files)."""

CHECKOUT_MARKERS = ("pyproject.toml", "my_server.py")
"""Files beside the package that only a checkout has; a wheel ships neither."""


def default_directory() -> Path:
    """Return `log/` of a checkout, or the state directory of the user for an installed program."""
    override = os.environ.get(ENVIRONMENT_VARIABLE)
    if override:
        return Path(override)
    checkout = Path(__file__).resolve().parents[2]
    if all((checkout / name).is_file() for name in CHECKOUT_MARKERS):
        return checkout / "log"
    return platformdirs.user_state_path("jim", appauthor=False) / "log"


def prepare_directory(directory: Path) -> None:
    """Make the directory, and those above it, for the owner alone; leave an existing one as it is.

    Raises:
        OSError: it cannot be made, or is no directory.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    if not directory.is_dir():
        raise NotADirectoryError(20, os.strerror(20), str(directory))
