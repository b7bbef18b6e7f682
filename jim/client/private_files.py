"""Files and directories that only we can read, which appear complete or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from typing import TYPE_CHECKING

from jim.common.files import appearing, make_directory, new_private
from jim.errors import BackupInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["appearing", "file_errors", "new_private", "workplace"]


@contextlib.contextmanager
def workplace(parent: Path) -> Iterator[Path]:
    """Make a directory of ours beside what it is for, gone at the end.

    Raises:
        OSError: it cannot be made.
    """
    folder = parent / f".jim-{secrets.token_hex(8)}"
    make_directory(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Raise `BackupInvalid` with `reason` file for what the system says of a file."""
    try:
        yield
    except OSError as error:
        detail = f"{path}: {error.strerror or error}"
        raise BackupInvalid(detail, reason="file") from error
