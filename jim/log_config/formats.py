"""Turn records into lines: the seed's columns as text, or one JSON object a line.

Both mask secrets, and write control characters escaped: a remote name must neither forge a second
line nor reach the terminal of whoever reads the log.
"""

from __future__ import annotations

import datetime
import json
import logging
import unicodedata
from typing import Final

from jim.log_config.redaction import MASK, is_secret, redact

LINE_FORMAT: Final = "%(asctime)s %(levelname)s %(module)s %(funcName)s %(message)s"
"""The seed's columns: when, how severe, module, function, what."""

MAX_TEXT_CHARS: Final = 8_192
"""Longer texts are cut: a log line is no place for a frame (the largest one has 512 KiB)."""

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "message",
    "taskName",
}


class LineFormatter(logging.Formatter):
    """One line a record; the lines of a traceback follow it, indented."""

    def __init__(self) -> None:
        super().__init__(LINE_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Format the columns; the message is masked and keeps to its line."""
        record.message = clean(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the masked traceback below it."""
        traceback, record.exc_text = _traceback(self, record), None
        record.exc_info = None
        line = super().format(record)
        return f"{line}\n{_indent(traceback)}" if traceback else line


class JsonFormatter(logging.Formatter):
    """One JSON object a record: the same columns, the logger, and what `extra` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as one line of UTF-8 text."""
        fields: dict[str, object] = {
            "time": _iso_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "module": record.module,
            "function": record.funcName,
            "message": clean(record.getMessage()),
            "pid": record.process,
        }
        traceback = _traceback(self, record)
        if traceback:
            fields["exception"] = redact(traceback)
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS and name not in fields:
                fields[name] = MASK if is_secret(name) else _json_value(value)
        return json.dumps(fields, ensure_ascii=False)


def clean(text: str) -> str:
    """Mask secrets, escape what is no printable character, cut what is too long."""
    if len(text) > MAX_TEXT_CHARS:
        text = f"{text[:MAX_TEXT_CHARS]}… ({len(text)} characters)"
    text = redact(text)
    return text if text.isprintable() else "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_text:
        return record.exc_text
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _indent(text: str) -> str:
    return "\n".join(f"  {clean(line)}" for line in text.splitlines())


def _iso_time(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.isoformat(timespec="milliseconds")


def _json_value(value: object) -> object:
    return value if isinstance(value, bool | int | float | None) else clean(str(value))
