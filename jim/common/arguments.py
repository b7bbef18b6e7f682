"""Types of arguments that more than one command line has."""

from __future__ import annotations

import argparse
from pathlib import Path

from jim.i18n import _


def directory(text: str) -> Path:
    """Take the name of a directory, there or not.

    Raises:
        argparse.ArgumentTypeError: it is empty: `Path("")` is the current directory, which nobody
            means by it.
    """
    if not text:
        raise argparse.ArgumentTypeError(_("an empty name is no directory"))
    return Path(text)
