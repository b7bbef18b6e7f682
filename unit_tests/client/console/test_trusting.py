"""`/verify`, `/trust` and `/plain`: a question, then an answer to just that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.client.console.commands import Action, Answer
from jim.client.console.dialogue import Dialogue, Hint, Run
from jim.client.console.lines import as_text
from jim.client.console.questions import Questions
from jim.client.console.trusting import Trusting, compared
from jim.client.console.view import Look
from jim.client.events import ComparisonChanged, ComparisonStage, ContactInfo
from jim.errors import OwnAccount, RecipientUnknown
from unit_tests.support.fake_client import NUMBER, Fake, message
from unit_tests.support.terminal import FakeTerminal

if TYPE_CHECKING:
    from pathlib import Path

LOOK = Look(width=80)


class Asking:
    """Somebody who types, on a fake client."""

    def __init__(self) -> None:
        self.client = Fake()
        self.questions = Questions()
        self._trusting = Trusting(self.questions)

    async def type(self, line: str) -> str:
        intention = Dialogue().feed(line)
        assert isinstance(intention, Run)
        shown = await self._trusting.run(self.client, intention, LOOK)
        return " ".join(as_text(each) for each in shown)

    def info(self, name: str = "bob") -> ContactInfo:
        return self.client.known.get(name, ContactInfo(name=name))


@pytest.mark.parametrize(
    ("typed", "intention"),
    [
        ("/verify bob", Run(Action.VERIFY, "bob")),
        ("/verify @bob yes", Run(Action.VERIFY, "bob", answer=Answer.YES)),
        ("/сверка bob да", Run(Action.VERIFY, "bob", answer=Answer.YES)),
        ("/verify bob ytn", Run(Action.VERIFY, "bob", answer=Answer.NO)),  # нет on its keys
        ("/verify bob эмодзи", Run(Action.VERIFY, "bob", answer=Answer.EMOJI)),
        ("/trust bob yes", Run(Action.TRUST, "bob", answer=Answer.YES)),
        ("/plain bob off", Run(Action.PLAIN, "bob", answer=Answer.NO)),
        ("/открыто bob вкл", Run(Action.PLAIN, "bob", answer=Answer.YES)),
    ],
)
def test_what_is_typed(typed: str, intention: Run) -> None:
    assert Dialogue().feed(typed) == intention


@pytest.mark.parametrize("typed", ["/verify", "/trust", "/plain", "/verify bob maybe"])
def test_what_cannot_be_meant_is_explained(typed: str) -> None:
    assert isinstance(Dialogue().feed(typed), Hint)
    for wrong in (
        "/trust bob emoji",
        "/verify bob forget",
        "/plain bob forget",
        "/trust bob yes x",
    ):
        assert isinstance(Dialogue().feed(wrong), Hint)


async def test_the_number_is_shown_and_only_then_confirmed() -> None:
    asking = Asking()
    first = await asking.type("/verify bob yes")  # nothing was shown yet: it is now
    assert " ".join(NUMBER.split()[:4]) in first
    assert not asking.info().verified
    assert "is verified" in await asking.type("/verify Bob yes")
    assert "12345" in await asking.type("/verify bob yes")  # once only


async def test_no_is_a_warning_and_changes_nothing() -> None:
    asking = Asking()
    assert "Nothing was changed" in await asking.type("/verify bob no")
    await asking.type("/verify bob")
    assert "WARNING" in await asking.type("/verify bob no")
    assert asking.client.known == {}


async def test_nobody_and_oneself() -> None:
    asking = Asking()
    with pytest.raises(RecipientUnknown):
        await asking.type("/verify nobody")
    with pytest.raises(OwnAccount):
        await asking.type("/verify alice")
    for typed in ("/verify alice emoji", "/plain Alice"):
        with pytest.raises(OwnAccount):
            await asking.type(typed)


async def test_emoji_are_asked_for_and_answered() -> None:
    asking = Asking()
    asking.client.state = asking.client.state.ONLINE
    assert await asking.type("/verify bob emoji") == ""
    assert asking.client.comparing == {"bob": ComparisonStage.WAITING}
    assert "not here now" in await asking.type("/verify carol emoji")
    assert await asking.type("/verify bob yes") == ""
    assert "bob" not in asking.client.comparing


async def test_changed_keys_are_explained_then_accepted() -> None:
    asking = Asking()
    assert "no changed keys" in await asking.type("/trust bob")
    asking.client.known["bob"] = ContactInfo(name="bob", known=True, devices=1, changed=True)
    shown = await asking.type("/trust bob")
    assert "begun anew with other keys" in shown
    assert "yes or no" in shown
    assert "Nothing was changed" in await asking.type("/trust bob no")
    assert asking.info().changed
    assert "/resend" in await asking.type("/trust bob yes")
    assert not asking.info().changed


async def test_keys_are_dropped_only_with_the_name_typed_again() -> None:
    asking = Asking()
    known = asking.client.known["bob"] = ContactInfo(
        name="bob", known=True, devices=1, verified=True
    )
    shown = await asking.type("/trust bob forget")
    assert "that you compared" in shown
    assert "WARNING" in shown
    assert "12345 12346" in shown
    assert "/trust bob forget bob" in shown
    more = asking.questions.take(Answer.YES)
    assert isinstance(more, Hint)
    assert "/trust bob forget bob" in more.lines[0]
    for typed in ("/trust bob forget yes", "/trust bob forget carol", "/trust bob yes"):
        await asking.type(typed)
        assert asking.info() == known
    assert await asking.type("/доверие bob забыть нет") == "Nothing was changed."
    assert "are dropped" in await asking.type("/trust bob forget Bob")
    assert not asking.info().known
    assert "nothing to drop" in await asking.type("/trust bob forget")
    with pytest.raises(OwnAccount):
        await asking.type("/trust alice forget")


async def test_the_russian_forms_are_in_russian() -> None:
    i18n.set_language("ru")
    asking = Asking()
    asking.client.known["bob"] = ContactInfo(name="bob", known=True, devices=1)
    await asking.type("/trust bob забыть")
    more = asking.questions.take(Answer.YES)
    assert isinstance(more, Hint)
    assert more.lines[0].endswith("/trust bob забыть bob")
    compared(ComparisonChanged("bob", ComparisonStage.ASKED), asking.questions)
    several = asking.questions.take(Answer.YES)
    assert isinstance(several, Hint)
    assert "/verify bob эмодзи или /verify bob нет" in several.lines[2]


async def test_unencrypted_messages_are_explained_then_allowed_and_shown() -> None:
    asking = Asking()
    asking.client.messages[1] = message(text="", plain=True, withheld=True)
    asked = await asking.type("/plain bob")
    assert "can read" in asked
    assert "withheld text" not in asked
    assert not asking.info().plain
    shown = await asking.type("/plain bob on")
    assert "1 message was withheld" in shown
    assert "withheld text" in shown
    assert "To forbid" in await asking.type("/plain bob")
    assert "refused" in await asking.type("/plain bob off")


def test_in_a_narrow_terminal(tmp_path: Path) -> None:
    terminal = FakeTerminal("line", tmp_path, columns=40)
    try:
        terminal.expect("3. exit")
        terminal.do("receive", text="", plain=True, withheld=True)
        terminal.expect("/plain bob")
        terminal.line("/verify bob")
        terminal.expect("12345 12346 12347 12348")
        terminal.line("/verify bob yes")
        terminal.expect("bob is verified.")
        terminal.do("notice", code="device_added", time_ms=1_700_000_000_000, peer="bob")
        terminal.expect("bob has a further device.")
        terminal.do("emoji", stage="shown", emoji=[["🐶", "Dog"], ["🎩", "Hat"]])
        terminal.expect("Dog")
        terminal.line("@bob hi")
        terminal.expect("bob (verified)")
        terminal.line("/history bob")
        terminal.expect("bob: encrypted, verified")
    finally:
        terminal.close()


@pytest.mark.parametrize("mode", ["line", "plain"])
def test_bare_words_in_a_narrow_terminal_in_russian(mode: str, tmp_path: Path) -> None:
    terminal = FakeTerminal(mode, tmp_path, columns=40, rows=30, language="ru")

    def expect(text: str, count: int = 1) -> None:
        """Wait for a text, wherever lines are broken in it."""

        def is_there() -> bool:
            return "".join(terminal.everything.split()).count("".join(text.split())) >= count

        terminal.until(is_there, text)

    try:
        expect("3. exit")
        terminal.line("/verify bob")
        expect("да или нет")
        terminal.line("lf")
        expect("Ключи bob сверены")
        terminal.line("/plain bob")
        expect("Разрешить с bob")
        terminal.line("/remove old")
        expect("Удалить? да или нет")
        terminal.line("да")
        expect(f"/remove {'b' * 16} да")
        expect("/plain bob нет")
        terminal.line(f"/remove {'b' * 16} н")
        expect("Ничего не изменено.")
        terminal.line("н")
        expect("Незашифрованные сообщения с bob отклоняются")
        terminal.do("emoji", stage="shown", emoji=[["🐶", "Dog"], ["🎩", "Hat"]])
        expect("Собака")
        for text in ("1", "bob", "да"):
            terminal.line(text)
        expect("Ничего не отправлено")
        terminal.line("/verify bob да")
        expect("Ключи bob сверены", 2)
    finally:
        terminal.close()


def test_tab_completes_devices(tmp_path: Path) -> None:
    terminal = FakeTerminal("line", tmp_path)
    try:
        terminal.expect("3. exit")
        terminal.send("/remove old p\t")
        terminal.until(lambda: "/remove old phone" in terminal.current)
        terminal.send("\r")
        terminal.expect("Remove it? yes or no")
        terminal.line("y")
        terminal.expect("Removed from your account")
        terminal.line("yes")
        terminal.expect("Nothing is being asked")
    finally:
        terminal.close()
