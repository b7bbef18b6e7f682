"""What is said of something missing is said again until somebody has seen it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from jim.client.cli import work
from jim.client.console.reactions import Reactions
from jim.client.console.shown import Shown
from jim.client.console.view import Look
from jim.client.events import (
    Event,
    LinkChanged,
    LinkState,
    MissingNotice,
    Received,
    Registered,
)
from jim.errors import ConnectFailed, StoreError
from unit_tests.support.fake_client import WORDS, Fake, message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jim.client.events import Message

NOTICE = MissingNotice("mailbox_full", 1_700_000_000_000, 7)


class Screen:
    """Keeps what it is given until the test has it written."""

    def __init__(self) -> None:
        self.look = Look()
        self.reports: list[tuple[str, Any]] = []

    def report(self, lines: list[Any], then: Any = None) -> None:
        self.reports.append((" ".join(map(str, lines)), then))


async def reported(event: Event, fake: Fake) -> tuple[Reactions, Any]:
    """Let somebody react to an event; gives who, and what is called when it is written."""
    screen: Any = Screen()
    reactions = Reactions(screen, SimpleNamespace())  # type: ignore[arg-type]
    reactions.greeted.set()
    await reactions.take(event, fake)
    [(text, then)] = screen.reports
    assert "missing" in text or "word12" in text
    return reactions, then


async def test_a_notice_counts_as_shown_when_it_is_on_the_screen() -> None:
    fake = Fake()
    reactions, written = await reported(NOTICE, fake)
    await asyncio.sleep(0)
    assert fake.notices_shown == []
    assert reactions.has_notes
    await asyncio.to_thread(written)
    await asyncio.sleep(0)
    await reactions.noted()
    assert fake.notices_shown == [7]


async def test_recovery_words_are_erased_when_they_are_on_the_screen() -> None:
    fake = Fake()
    reactions, written = await reported(Registered("alice", WORDS), fake)
    await asyncio.sleep(0)
    assert not fake.words_were_shown
    written()
    await asyncio.sleep(0)
    await reactions.noted()
    assert fake.words_were_shown


async def test_a_store_that_cannot_be_read_is_no_empty_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()
    fake.messages[1] = message(1)

    async def unreadable(*_: object) -> list[Message]:
        raise StoreError("disk")

    async def opened(_: object) -> Shown:
        return Shown(None)

    monkeypatch.setattr(fake, "received_after", unreadable)
    screen: Any = SimpleNamespace(look=Look(), shown=[], show=lambda *_: None)
    reactions = Reactions(screen, opened)
    with pytest.raises(StoreError):
        await reactions.take(LinkChanged(LinkState.ONLINE), fake)
    # Whoever goes on all the same must not take a later message for the next one.
    await reactions.take(Received(message(2)), fake)
    assert reactions._shown is None


async def test_a_notice_that_cannot_be_marked_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()

    async def closed(_: int) -> None:
        raise ConnectFailed

    monkeypatch.setattr(fake, "notice_shown", closed)
    reactions, written = await reported(NOTICE, fake)
    written()
    await asyncio.sleep(0)
    await reactions.noted()


async def test_a_single_command_says_it_too(capfd: pytest.CaptureFixture[str]) -> None:
    async def events() -> AsyncIterator[Event]:
        yield NOTICE

    fake: Any = Fake()
    await work._tell(events(), fake)
    assert "missing" in capfd.readouterr().err
    assert fake.notices_shown == [7]


@pytest.mark.parametrize("where", [os.devnull, "/dev/full"])
async def test_a_command_whose_words_nobody_can_read_goes_on_and_says_it_again(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def events() -> AsyncIterator[Event]:
        yield Registered("alice", WORDS)
        yield NOTICE

    fake: Any = Fake()
    with open(where, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device
        monkeypatch.setattr("sys.stderr", nowhere)
        await work._tell(events(), fake)
        with contextlib.suppress(OSError):
            nowhere.close()
    assert not fake.words_were_shown
    assert fake.notices_shown == []
