"""JSON lines lose nothing and cannot attack a terminal."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from jim.client.cli.output import json_line, message_record
from jim.client.console.text import safe_line
from jim.client.events import MessageState
from unit_tests.support.fake_client import message


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_line_of_json_is_harmless_and_whole(text: str) -> None:
    line = json_line({"type": "message", "text": text})
    assert json.loads(line)["text"] == text
    assert "\n" not in line
    assert all(safe_line(character) == character for character in line)


def test_letters_stay_readable() -> None:
    assert "Привет" in json_line({"text": "Привет"})
    assert "\\u009b" in json_line({"text": "\x9b"})
    assert "\\u202e" in json_line({"text": "\u202e"})


def test_the_fields_of_a_message() -> None:
    record = message_record(message(3, text="hi"))
    assert list(record) == [
        "type", "id", "peer", "from", "outgoing", "text", "time_ms", "seq", "state",
    ]  # fmt: skip
    failed = message(4, outgoing=True, state=MessageState.FAILED, error_code="mailbox_full")
    assert message_record(failed)["error"] == "mailbox_full"
    assert json.loads(json_line(record))["schema"] == 1
