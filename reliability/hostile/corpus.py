"""Read the committed corpora: the JSON test suite with its real bytes, and the naughty strings."""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

DIRECTORY: Final = Path(__file__).with_name("corpora")
"""Licences and origin: `LICENSES.md` in it."""


class JsonCase(NamedTuple):
    """One file of the JSON test suite.

    Attributes:
        name: of the file.
        expected: what a parser says to it: `y` accepts, `n` refuses, `i` is free.
        content: the real bytes, also where they are not UTF-8.
    """

    name: str
    expected: Literal["y", "n", "i"]
    content: bytes


@cache
def json_cases() -> tuple[JsonCase, ...]:
    """Read the JSON test suite."""
    text = (DIRECTORY / "json_test_suite.jsonl").read_text(encoding="ascii")
    return tuple(_json_case(json.loads(line)) for line in text.splitlines())


@cache
def naughty_strings() -> tuple[str, ...]:
    """Read the big list of naughty strings; the empty one among them."""
    text = (DIRECTORY / "naughty_strings.json").read_text(encoding="ascii")
    return tuple(json.loads(text))


def _json_case(row: dict[str, str]) -> JsonCase:
    if "zlib" in row:
        content = zlib.decompress(base64.b64decode(row["zlib"]))
    else:
        content = base64.b64decode(row["bytes"])
    expected: Literal["y", "n", "i"] = row["expected"]  # type: ignore[assignment]
    return JsonCase(row["name"], expected, content)
