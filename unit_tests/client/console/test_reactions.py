"""What is said of something missing is said again until somebody has seen it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from jim.client.cli import work
from jim.client.console.reactions import Reactions
from jim.client.console.view import Look
from jim.client.events import Event, MissingNotice
from jim.errors import ConnectFailed
from unit_tests.support.fake_client import Fake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

NOTICE = MissingNotice("mailbox_full", 1_700_000_000_000, 7)


class Screen:
    """Keeps what it is given; says with each report what the client was told by then."""

    def __init__(self, fake: Fake) -> None:
        self.look = Look()
        self.reports: list[tuple[str, list[int]]] = []
        self._fake = fake

    def report(self, lines: list[Any]) -> None:
        text = " ".join(str(line) for line in lines)
        self.reports.append((text, list(self._fake.notices_shown)))


async def test_a_notice_counts_as_shown_when_it_is_on_the_screen() -> None:
    fake = Fake()
    screen: Any = Screen(fake)
    await Reactions(screen, SimpleNamespace()).take(NOTICE, fake)  # type: ignore[arg-type]
    [(text, told_before)] = screen.reports
    assert "missing" in text
    assert told_before == []
    assert fake.notices_shown == [7]


async def test_a_notice_that_cannot_be_marked_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()
    screen: Any = Screen(fake)

    async def closed(_: int) -> None:
        raise ConnectFailed

    monkeypatch.setattr(fake, "notice_shown", closed)
    await Reactions(screen, SimpleNamespace()).take(NOTICE, fake)  # type: ignore[arg-type]
    assert len(screen.reports) == 1


async def test_a_single_command_says_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    async def events() -> AsyncIterator[Event]:
        yield NOTICE

    fake: Any = Fake()
    await work._tell(events(), fake)
    assert "missing" in capsys.readouterr().err
    assert fake.notices_shown == [7]
