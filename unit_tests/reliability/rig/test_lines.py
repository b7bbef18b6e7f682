from __future__ import annotations

import pytest

from reliability.rig import lines


@pytest.mark.parametrize("size_bytes", [0, 10, 40, 200, 15_000])
def test_a_text_names_its_message_and_has_its_size(size_bytes: int) -> None:
    text = lines.text_of("anna-1", size_bytes)
    assert lines.uid_of(text) == "anna-1"
    # A letter of two bytes that does not fit any more is left out.
    assert max(7, size_bytes) - 1 <= len(text.encode()) <= max(7, size_bytes)


def test_texts_differ_in_all_of_their_length() -> None:
    one, other = lines.text_of("anna-1", 400), lines.text_of("anna-2", 400)
    assert one[300:] != other[300:]
    assert lines.described(one) != lines.described(other)


@pytest.mark.parametrize("command", [lines.Send("u", "boris", 9), lines.Retry(), lines.Look(3, 4)])
def test_commands_come_as_they_were_told(command: lines.Command) -> None:
    assert lines.commands.decode(lines.encoded(command)) == command
