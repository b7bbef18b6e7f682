"""JSON lines lose nothing and cannot attack a terminal."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from jim.client.cli.output import json_line, message_record, put
from jim.client.console.text import safe_line
from jim.client.events import MessageState
from unit_tests.support.fake_client import message

if TYPE_CHECKING:
    import pytest


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


def test_a_write_that_ends_early_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []

    class Interrupted(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            written.append(bytes(data[:3]))
            return len(written[-1])

    stream = io.TextIOWrapper(Interrupted(), encoding="utf-8", write_through=True)  # type: ignore[type-var]
    monkeypatch.setattr("sys.stdout", stream)
    put("сообщение")
    assert b"".join(written).decode() == "сообщение\n"
