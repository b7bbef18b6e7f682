"""Lines have the seed's columns; nobody forges a second line or reaches the terminal."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest

from jim.log_config.formats import MAX_TEXT_CHARS, JsonFormatter, LineFormatter


def a_record(text: str, *args: object, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord(
        "jim.server.hub", logging.INFO, "/x/hub.py", 7, text, args, None, "receive"
    )
    vars(record).update(extra)
    return record


def _fail(text: str) -> None:
    raise ValueError(text)


def a_failed_record(text: str) -> logging.LogRecord:
    record = a_record("failed")
    try:
        _fail(text)
    except ValueError:
        record.exc_info = sys.exc_info()
    return record


def test_a_line_has_time_level_module_function_and_message() -> None:
    line = LineFormatter().format(a_record("stored %d for %s", 3, "bob"))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO hub receive stored 3 for bob", line
    )


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    "character",
    ["\n", "\r", "\x1b", "\x00", "\x7f", "\x9b", "\u202e", "\u2028", "\u200b", "\ud800"],
)
def test_control_characters_are_escaped(formatter: logging.Formatter, character: str) -> None:
    line = formatter.format(a_record("name %s here", f"a{character}b"))
    assert character not in line
    assert line.count("\n") == 0


def test_ordinary_letters_of_all_languages_stay() -> None:
    assert LineFormatter().format(a_record("пётр 中 é 👍")).endswith("receive пётр 中 é 👍")


def test_json_is_one_object_a_line_with_the_extra_fields() -> None:
    line = JsonFormatter().format(a_record("stored %d", 3, size_bytes=5, peer="a\x1bb", sig=b"x"))
    fields = json.loads(line)
    assert "\n" not in line
    assert fields["message"] == "stored 3"
    assert (fields["level"], fields["module"], fields["function"]) == ("INFO", "hub", "receive")
    assert fields["logger"] == "jim.server.hub"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{3}\+00:00", fields["time"])
    assert fields["size_bytes"] == 5
    assert fields["peer"] == r"a\x1bb"
    assert fields["sig"] == "[redacted]"


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
def test_a_traceback_is_masked(formatter: logging.Formatter) -> None:
    line = formatter.format(a_failed_record("cannot read message='secret plan'"))
    assert "ValueError" in line
    assert "secret plan" not in line


def test_a_traceback_is_indented_under_its_line() -> None:
    first, *rest = LineFormatter().format(a_failed_record("two\nlines \x1b[31m")).splitlines()
    assert first.endswith("INFO hub receive failed")
    assert all(line.startswith("  ") for line in rest)
    assert rest[-1] == r"  lines \x1b[31m"


@pytest.mark.parametrize("formatter", [LineFormatter(), JsonFormatter()])
def test_long_texts_are_cut(formatter: logging.Formatter) -> None:
    line = formatter.format(a_record("x" * 300_000))
    assert len(line) < MAX_TEXT_CHARS + 400
    assert "300000 characters" in line
