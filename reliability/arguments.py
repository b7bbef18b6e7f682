"""Types for the command lines of all programs of the proof: what makes no sense is wrong usage.

argparse words what a type raises and ends with status 2, so nothing of it reaches the work: there
it would end in a traceback, or worse, in a run of nothing that reports success.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import math
from pathlib import Path


def positive(text: str) -> int:
    """Take a whole number from 1 on: of runs, processes, cycles.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return number


def duration(text: str) -> float:
    """Take a length of time above 0, in whatever unit the option has.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time above 0")
    return number


def duration_or_none(text: str) -> float:
    """Take a length of time, 0 for not at all.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time")
    return number


def _number(text: str) -> float:
    """Read a number; gives one that is in no range where the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def result_file(text: str) -> Path:
    """Take the path of a file to write at the end, and see now that it can be written.

    A file that was not there is not left behind: an empty result looks like one.

    Raises:
        argparse.ArgumentTypeError: it cannot be written.
    """
    path = Path(text)
    was_there = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write {text}: {error.strerror}") from None
    if not was_there:
        path.unlink()
    return path


def base64_bytes(text: str) -> bytes:
    """Take bytes in base64, as a failure prints them.

    Raises:
        argparse.ArgumentTypeError: the text is no base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no base64: {error}") from None
