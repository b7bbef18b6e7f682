"""Data on standard output, everything else on standard error; JSON that is safe on a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from jim.client.console import notices
from jim.client.console.text import safe_line, wrap

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from jim.client.events import Message, MissingNotice

NARROW_CELLS: Final = 64
"""Below that a terminal breaks a word in nearly every line; in a wider one a line stays whole, so
that a path or a command in it can be copied."""

SCHEMA: Final = 1
"""Version of the JSON lines; grows when a field changes its meaning or goes, not for a new one."""


def complain(text: str) -> None:
    """Write one line of our own to standard error, under the program's name.

    On a narrow terminal it is broken between words.
    """
    line, width = f"jim: {text}", columns(sys.stderr)
    rows = wrap(line, width) if 0 < width < NARROW_CELLS else [line]
    sys.stderr.write("".join(f"{row}\n" for row in rows))
    sys.stderr.flush()


def columns(stream: TextIO) -> int:
    """Give the width of the terminal that a stream goes to, 0 where it goes elsewhere."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return 0


def put(text: str) -> None:
    """Write one line of data, at once: a reader at the other end of a pipe is waiting.

    All of it: without a buffer of Python's own (PYTHONUNBUFFERED) a write that a signal interrupts
    ends early, and Python's text layer does not go on with the rest.
    """
    stream = sys.stdout
    rest = memoryview(f"{text}\n".encode(stream.encoding, stream.errors or "strict"))
    while rest:
        rest = rest[stream.buffer.write(rest) :]
    stream.flush()


def json_line(record: Mapping[str, object]) -> str:
    """Write a record as JSON on one line, with the schema version first.

    JSON itself escapes only C0. Whatever else a terminal would obey or hide is escaped here too, so
    the line loses nothing and is harmless wherever it is shown.
    """
    text = msgspec.json.encode({"schema": SCHEMA, **record}).decode()
    return text if text.isascii() and text.isprintable() else "".join(map(_escaped, text))


def message_record(message: Message) -> dict[str, object]:
    """Give the fields of a message that scripts may rely on (docs/client.md, "JSON")."""
    record: dict[str, object] = {
        "type": "message",
        "id": message.message_id,
        "peer": message.peer,
        "from": message.sender,
        "outgoing": message.outgoing,
        "text": message.text,
        "time_ms": message.time_ms,
        "seq": message.seq,
        "state": str(message.state),
    }
    if message.plain:
        record["plain"] = True
    if message.withheld:
        del record["text"]
    if message.error_code is not None:
        record["error"] = message.error_code
    return record


def notice_record(notice: MissingNotice, own_name: str) -> dict[str, object]:
    """Give the fields of a notice; `text` is what a person would read."""
    return {
        "type": "notice",
        "code": notice.code,
        "peer": notice.peer,
        "time_ms": notice.time_ms,
        "text": notices.text_of(notice, own_name),
    }


def _escaped(character: str) -> str:
    if safe_line(character) == character:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = (units[place : place + 2] for place in range(0, len(units), 2))
    return "".join(f"\\u{int.from_bytes(pair, 'big'):04x}" for pair in pairs)
