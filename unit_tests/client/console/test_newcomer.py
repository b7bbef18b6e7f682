"""Taking a new device in at the prompt: the code as typed, who waits, and that nobody slips."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jim.client.console import newcomer
from jim.client.console.commands import Action, Answer
from jim.client.console.console import Console
from jim.client.console.dialogue import Dialogue, Hint, Reply, Run
from jim.client.console.keyboard import to_jcuken
from jim.client.console.lines import as_text
from jim.client.console.view import Look
from jim.client.events import HistoryMoved
from jim.crypto.link_code import PREFIX, LinkCode
from jim.errors import ConnectFailed, LinkCodeInvalid, OfferGone
from jim.protocol.messages import Offer, PublicKey
from unit_tests.support.fake_client import Fake, session_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from jim.client.console.lines import Line

LOOK = Look(width=40)
CODE = LinkCode("abcdefghijklmnop", "qrstuvwx27")
OFFER = Offer(
    offer=1,
    login_key=b"k" * 32,
    ed=b"e" * 32,
    curve=b"c" * 32,
    fallback=PublicKey(id=1, key=b"f" * 32, sig=b"s" * 64),
    address="192.0.2.7\x1b[2J",
    age_s=75,
    client="jim/0.1\u202eevil" + "x" * 60,
)


def texts(lines: Iterable[Line]) -> str:
    return "\n".join(as_text(each) for each in lines)


@pytest.mark.parametrize(
    "typed",
    [
        CODE.text,
        CODE.shown,
        CODE.shown.upper(),
        CODE.shown.replace(" ", "-"),
        PREFIX + CODE.text.upper(),
        to_jcuken(CODE.shown),
        to_jcuken(CODE.text.upper()),
    ],
)
def test_a_code_however_it_was_typed(typed: str) -> None:
    assert newcomer.typed_code(typed).text == CODE.text


@pytest.mark.parametrize("typed", ["", "yes", "abcd efgh", CODE.text + "a", CODE.text[:-1] + "1"])
def test_what_is_no_code(typed: str) -> None:
    with pytest.raises(LinkCodeInvalid):
        newcomer.typed_code(typed)


def test_who_waits_is_shown_harmless_and_short() -> None:
    shown = texts(newcomer.offered(OFFER, LOOK))
    assert "192.0.2.7" in shown
    assert "1 min 15 s" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "x" * 50 not in shown


class Screen:
    """Keeps what is shown; a `Screen`."""

    look = LOOK

    def __init__(self) -> None:
        self.lines: list[str] = []

    def show(self, lines: Sequence[Line], then: Any = None) -> None:
        self.lines += [as_text(each) for each in lines]

    report = show

    async def flushed(self) -> None:
        """Nothing waits."""

    def refresh(self) -> None:
        """Nothing to refresh."""

    def stop(self) -> None:
        """Nothing to stop."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Talk:
    """A console with a fake client and a screen."""

    def __init__(self) -> None:
        self.fake = Fake()
        self.fake.waiting.append((CODE, OFFER))
        self.screen = Screen()
        self.console = Console(self.screen, session_on(self.fake))

    async def link(self, typed: str) -> str:
        before = len(self.screen.lines)
        task = self.console.submit(Run(Action.LINK, typed))
        assert task is not None
        await task
        return "\n".join(self.screen.lines[before:])


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    made = Talk()
    made.console.start()
    async with asyncio.timeout(20):
        await made.console.seen.greeted.wait()
    yield made
    await made.console.aclose()


async def test_a_device_is_taken_in_only_after_it_was_looked_at(talk: Talk) -> None:
    assert "There is no new device to agree to" in (await talk.link("yes")).replace("\n", " ")
    assert talk.fake.taken_in == []
    asked = await talk.link(to_jcuken(CODE.shown))
    assert "/link yes" in asked
    assert talk.fake.taken_in == []
    assert "12345 67890 12345 67890" in await talk.link("да")
    assert talk.fake.taken_in == [(OFFER, CODE, 0)]
    await talk.link("yes")
    assert len(talk.fake.taken_in) == 1


async def test_a_bare_word_agrees_once_and_no_sends_the_device_away(talk: Talk) -> None:
    async def reply(answer: Answer) -> None:
        task = talk.console.submit(Reply(answer))
        if task is not None:
            await task

    await talk.link(CODE.shown)
    await reply(Answer.NO)
    assert "not taken in" in talk.screen.text
    await reply(Answer.YES)
    assert "Nothing is being asked" in talk.screen.text
    await talk.link(CODE.shown)
    await reply(Answer.YES)
    await reply(Answer.YES)
    assert talk.fake.taken_in == [(OFFER, CODE, 0)]


@pytest.mark.parametrize(
    ("error", "times"), [(ConnectFailed(reason="network"), 1), (OfferGone(), 0)]
)
async def test_an_agreement_that_did_not_get_through_can_be_repeated(
    talk: Talk, monkeypatch: pytest.MonkeyPatch, error: Exception, times: int
) -> None:
    async def fails(*_: object) -> str:
        raise error

    with monkeypatch.context() as failing:
        failing.setattr(talk.fake, "take_in", fails)
        await talk.link(CODE.shown)
        await talk.link("yes")
    await talk.link("yes")
    assert len(talk.fake.taken_in) == times


async def test_no_as_the_command_says_it(talk: Talk) -> None:
    await talk.link(CODE.shown)
    assert "not taken in" in await talk.link("нет")
    assert "There is no new device to agree to" in (await talk.link("yes")).replace("\n", " ")


async def test_a_code_that_nobody_shows_leaves_nothing_to_agree_to(talk: Talk) -> None:
    await talk.link(CODE.text)
    other = LinkCode(CODE.check, "a" * 10)
    assert "shows this code" in (await talk.link(other.text)).replace("\n", " ")
    await talk.link("yes")
    assert talk.fake.taken_in == []


async def test_what_is_no_code_is_explained(talk: Talk) -> None:
    assert "26 characters" in (await talk.link("abcd")).replace("\n", " ")


async def test_an_agreement_that_comes_too_late_is_none(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newcomer.Newcomer, "GOOD_S", -1.0)
    await talk.link(CODE.text)
    await talk.link("yes")
    assert talk.fake.taken_in == []


async def test_the_end_of_the_history_is_told(talk: Talk) -> None:
    talk.fake.emit(HistoryMoved("d", incoming=True, done=3, total=3, ended=True))
    async with asyncio.timeout(20):
        while "3 messages" not in talk.screen.text.replace("\n", " "):
            await asyncio.sleep(0.01)


def test_a_pipe_takes_no_device_in() -> None:
    assert isinstance(Dialogue(literal=True).feed(f"/link {CODE.text}"), Hint)
    assert Dialogue().feed(f"/link {CODE.shown}") == Run(Action.LINK, CODE.shown)
    assert isinstance(Dialogue().feed("/link"), Hint)


def test_progress_is_told_now_and_then() -> None:
    told = newcomer.Progress()
    moved = HistoryMoved("d", incoming=False, done=1, total=9)
    assert told.told(moved, 0.0, LOOK)
    assert not told.told(moved, newcomer.TOLD_EVERY_S - 1, LOOK)
    assert told.told(moved, newcomer.TOLD_EVERY_S, LOOK)
    ended = HistoryMoved("d", incoming=False, done=9, total=9, ended=True)
    assert "9 messages" in texts(told.told(ended, newcomer.TOLD_EVERY_S, LOOK)).replace("\n", " ")
