"""The cursor of what was shown: after the showing, and only for the store that it belongs to."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from jim.client.console.shown import PAGE, Shown, after
from jim.client.console.streams import Writer
from unit_tests.support.fake_client import Fake, message

if TYPE_CHECKING:
    from pathlib import Path

    from jim.client.events import Message

FIRST, SECOND = "1" * 32, "2" * 32


def test_a_message_counts_once_it_is_written(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "shown", FIRST, 99)
    assert shown.advance(message(7))
    assert not shown.advance(message(7))
    assert Shown(tmp_path / "shown", FIRST, 99).number == 0, "killed now, it comes again"
    shown.written(message(7))
    shown.close()
    shown.written(message(8))
    assert Shown(tmp_path / "shown", FIRST, 99).number == 7


def test_the_number_says_nothing_about_another_store(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "shown", FIRST, 99)
    shown.advance(message(40))
    shown.written(message(40))
    fresh = Shown(tmp_path / "shown", SECOND, 99)
    assert fresh.number == 0
    assert fresh.advance(message(1))
    fresh.written(message(1))
    assert Shown(tmp_path / "shown", SECOND, 99).number == 1


def test_a_damaged_file_begins_at_0(tmp_path: Path) -> None:
    for damage in (b"", b"x", FIRST.encode(), FIRST.encode() + b" twelve", b"%020d" % 12):
        (tmp_path / "shown").write_bytes(damage)
        assert Shown(tmp_path / "shown", FIRST, 99).number == 0


def test_the_number_is_never_ahead_of_the_store(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "shown", FIRST, 99)
    shown.advance(message(40))
    shown.written(message(40))
    restored = Shown(tmp_path / "shown", FIRST, 25)
    assert restored.advance(message(26)), "the numbers above come again, for other messages"


async def test_all_that_came_later_is_found_whatever_its_place_in_a_conversation() -> None:
    fake = Fake()
    for number in (4, 5, 2 * PAGE + 9):
        fake.messages[number] = message(number)
    for number in range(6, 2 * PAGE + 6):
        fake.messages[number] = message(number, peer=f"p{number % 7}")
    fake.messages[3] = message(3, outgoing=True, seq=10_000)
    found = await after(fake, 4)
    assert [each.message_id for each in found] == [*range(5, 2 * PAGE + 6), 2 * PAGE + 9]


async def test_what_comes_while_it_looks_is_found_or_comes_as_news() -> None:
    fake = Fake()
    fake.messages = {n: message(n, peer="carol") for n in range(1, PAGE + 1)}
    read, news = fake.received_after, []

    async def beside(message_id: int, limit: int) -> list[Message]:
        page = await read(message_id, limit)
        late = max(fake.messages) + 1
        if late < PAGE + 20:
            fake.messages[late] = message(late, peer=f"p{late % 3}")
            news.append(late)
        return page

    fake.received_after = beside  # type: ignore[method-assign]
    found = [each.message_id for each in await after(fake, 0)]
    assert sorted({*found, *news}) == sorted(fake.messages)
    assert all(number > found[-1] for number in news if number not in found)


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


def test_what_is_shown_again_by_its_number_moves_nothing_back(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "shown", FIRST, 99)
    shown.written(message(40))
    again = Shown(tmp_path / "shown", FIRST, 99)
    again.number = 0
    assert again.advance(message(3))
    again.written(message(3))
    assert Shown(tmp_path / "shown", FIRST, 99).number == 40
