"""The cursor of what was shown: after the showing, and only for the store that it belongs to."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from jim.client.console.shown import Shown
from jim.client.console.streams import Writer
from unit_tests.support.fake_client import message

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND = "1" * 32, "2" * 32


def test_a_message_counts_once_it_is_written(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "shown", FIRST)
    assert shown.advance(message(7))
    assert not shown.advance(message(7))
    assert Shown(tmp_path / "shown", FIRST).number == 0, "killed now, it comes again"
    shown.written(message(7))
    shown.close()
    shown.written(message(8))
    assert Shown(tmp_path / "shown", FIRST).number == 7


def test_the_number_says_nothing_about_another_store(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "shown", FIRST)
    shown.advance(message(40))
    shown.written(message(40))
    fresh = Shown(tmp_path / "shown", SECOND)
    assert fresh.number == 0
    assert fresh.advance(message(1))
    fresh.written(message(1))
    assert Shown(tmp_path / "shown", SECOND).number == 1


def test_a_damaged_file_begins_at_0(tmp_path: Path) -> None:
    for damage in (b"", b"x", FIRST.encode(), FIRST.encode() + b" twelve", b"%020d" % 12):
        (tmp_path / "shown").write_bytes(damage)
        assert Shown(tmp_path / "shown", FIRST).number == 0


async def test_the_thread_that_writes_a_text_notes_it_only_then() -> None:
    reading, writing = os.pipe()
    writer, noted = Writer(writing), threading.Event()
    text = "x" * 200_000  # more than a pipe holds
    writer.write(text, noted.set)
    assert not noted.is_set()
    left = len(text)
    while left:
        left -= len(os.read(reading, min(left, 65_536)))
    await writer.flushed()
    assert noted.is_set()
    os.close(reading)
